"""Every request body mode with every response body mode, with every kind of body, through a real Envoy."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from epp.demo.envoy import BodyMode
from tests.e2e.matrix import CASES, MODES, PickerWorld, running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[PickerWorld]:
    async with running_world() as world:
        yield world


@pytest.mark.parametrize("modes", MODES, ids="/".join)
async def test_bytes_and_endpoint_are_right_in_every_mode(world: PickerWorld, modes: tuple[BodyMode, BodyMode]) -> None:
    assert await world.faults(modes, CASES) == []


async def test_nothing_failed_and_nothing_is_left(world: PickerWorld) -> None:
    """Stands last."""
    await world.picker.wait_for_metric("epp_streams_open", 0)
    for name in (
        "epp_session_errors_total",
        "epp_plugin_errors_total",
        "epp_requests_in_flight",
        "epp_body_bytes_held",
    ):
        assert await world.picker.metric(name) == 0, name
