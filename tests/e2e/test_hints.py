"""``protocol_config`` is a hint: a gateway that leaves it out, or says something wrong, is served."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from epp.demo.envoy import BodyMode
from tests.e2e.hints import HINTS, LyingWorld, running_lying_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED, FULL_DUPLEX, BUFFERED = BodyMode.STREAMED, BodyMode.FULL_DUPLEX, BodyMode.BUFFERED
KNOWN_LIMITS = {(hint, STREAMED) for hint in HINTS if hint is not STREAMED} | {
    (STREAMED, FULL_DUPLEX),
    (FULL_DUPLEX, BUFFERED),
}
"""What `docs/limits.md` tells: the messages of these modes are alike, and the answers that they need are not."""
PAIRS = [(hint, mode) for hint in HINTS for mode in BodyMode if (hint, mode) not in KNOWN_LIMITS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[LyingWorld]:
    async with running_lying_world() as world:
        yield world


@pytest.mark.parametrize(("hint", "mode"), PAIRS, ids=str)
async def test_gateway_is_served_whatever_it_says(world: LyingWorld, hint: BodyMode | None, mode: BodyMode) -> None:
    assert await world.faults(hint, mode) == []
