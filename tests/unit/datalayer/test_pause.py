"""How long an endpoint is left alone between two pages."""

import asyncio

import pytest

from epp.datalayer.scraper import _pause
from tests.fakes.virtual_time import run


@pytest.mark.parametrize(
    ("set_at_s", "expected"),
    [
        (None, (2.0, False)),
        (0.0, (0.5, True)),
        (0.2, (0.5, True)),
        (0.5, (0.5, True)),
        (1.5, (1.5, True)),
        (2.5, (2.0, False)),
    ],
)
def test_pause_is_cut_short_by_an_event_but_not_below_the_least(
    set_at_s: float | None, expected: tuple[float, bool]
) -> None:
    async def measured() -> tuple[float, bool]:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        began_s = loop.time()
        if set_at_s is not None:
            loop.call_later(set_at_s, event.set)
        is_short = await _pause(2.0, least_s=0.5, until=event)
        return round(loop.time() - began_s, 3), is_short

    assert run(measured()) == expected
