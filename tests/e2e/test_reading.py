"""What the picker reads and changes on the way, through a real Envoy in every mode."""

import itertools
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
import pytest_asyncio

from epp.demo.envoy import BodyMode
from epp.demo.parts import HOST
from tests.e2e.matrix import MODES, PickerWorld, running_world
from tests.fakes.upstream import NAME_HEADER, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

REWRITABLE = [BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL, BodyMode.FULL_DUPLEX]
SHOWN = [BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL, BodyMode.STREAMED, BodyMode.FULL_DUPLEX]
BODY = b'{ "model" : "asked-for", "seed":9007199254740993, "prompt":"\\u00e9 \\"model\\":\\"asked-for\\"", "x": 1.50 }'
CHANGED = BODY.replace(b'"asked-for", "seed"', b'"other", "seed"')
ANSWER = (
    b'{"id":1, "model" :"other", "text":"\\"model\\":\\"other\\"","usage":{"prompt_tokens":5,"completion_tokens":2}}'
)
EVENTS = [b'data: {"n":1,"mod', b'el":"oth', b'er"}\r\n\r\ndata: {"n":2,"model"', b':"other"}\n\n', b"data: [DONE]\n\n"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[PickerWorld]:
    async with running_world() as world:
        yield world


@pytest.fixture
def world(shared: PickerWorld) -> PickerWorld:
    for upstream in shared.upstreams:
        upstream.forget()
        upstream.answer, upstream.events = ANSWER, EVENTS
    return shared


async def post(
    world: PickerWorld, modes: tuple[BodyMode, BodyMode], path: str = "/v1/completions", **headers: str
) -> tuple[httpx.Response, Upstream]:
    url = f"http://{HOST}:{world.ports[modes]}{path}"
    response = await world.clients[False].post(url, content=BODY, headers=headers)
    (upstream,) = [one for one in world.upstreams if one.bodies]
    return response, upstream


def asked_for(sent: bytes) -> bytes:
    return sent.replace(b'"model" :"other"', b'"model" :"asked-for"').replace(
        b'"model":"other"}', b'"model":"asked-for"}'
    )


REWRITE = {"x-llm-d-model-name-rewrite": "other"}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/sse/completions"], ids=["plain", "events"])
@pytest.mark.parametrize("modes", list(itertools.product(REWRITABLE, SHOWN)), ids="/".join)
async def test_model_is_rewritten_and_named_back(
    world: PickerWorld, modes: tuple[BodyMode, BodyMode], path: str
) -> None:
    response, upstream = await post(world, modes, path, **REWRITE)
    assert upstream.bodies == [CHANGED]
    assert response.content == asked_for(upstream.sent)
    assert b"asked-for" in response.content
    assert "x-llm-d-model-name-rewrite" not in upstream.heads[-1]


@pytest.mark.parametrize("request_mode", REWRITABLE)
async def test_model_is_rewritten_where_the_answer_is_not_shown(world: PickerWorld, request_mode: BodyMode) -> None:
    response, upstream = await post(world, (request_mode, BodyMode.NONE), **REWRITE)
    assert upstream.bodies == [CHANGED]
    assert response.content == ANSWER


@pytest.mark.parametrize("modes", list(itertools.product([BodyMode.NONE, BodyMode.STREAMED], BodyMode)), ids="/".join)
async def test_request_that_cannot_be_rewritten_goes_on_as_it_is(
    world: PickerWorld, modes: tuple[BodyMode, BodyMode]
) -> None:
    response, upstream = await post(world, modes, **REWRITE)
    assert upstream.bodies == [BODY]
    assert response.content == ANSWER


@pytest.mark.parametrize("modes", MODES, ids="/".join)
async def test_error_of_an_endpoint_is_counted_by_its_status_in_every_mode(
    world: PickerWorld, modes: tuple[BodyMode, BodyMode]
) -> None:
    before = await world.picker.metric("epp_endpoint_errors_total")
    for upstream in world.upstreams:
        upstream.status = 500
    response, _ = await post(world, modes)
    assert response.status_code == 500
    await world.picker.wait_for_metric("epp_endpoint_errors_total", before + 1)


async def tokens(world: PickerWorld) -> float:
    return await world.picker.metric("epp_tokens_total")


@pytest.mark.parametrize("response_mode", SHOWN)
async def test_usage_is_read_where_the_answer_is_shown(world: PickerWorld, response_mode: BodyMode) -> None:
    before = await tokens(world)
    await post(world, (BodyMode.FULL_DUPLEX, response_mode))
    await world.picker.wait_for_metric("epp_tokens_total", before + 7)


async def test_request_id_is_made_where_the_client_has_none_and_reaches_the_endpoint(world: PickerWorld) -> None:
    _, upstream = await post(world, (BodyMode.FULL_DUPLEX, BodyMode.NONE))
    assert upstream.heads[-1]["x-request-id"]


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX, BodyMode.STREAMED])
async def test_chunked_request_without_a_length_is_rewritten_too(world: PickerWorld, mode: BodyMode) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 10):
            yield BODY[start : start + 10]

    url = f"http://{HOST}:{world.ports[mode, BodyMode.NONE]}/v1/completions"
    response = await world.clients[False].post(url, content=pieces(), headers=REWRITE)
    assert response.status_code == 200
    (upstream,) = [one for one in world.upstreams if one.bodies]
    assert upstream.bodies == [BODY if mode is BodyMode.STREAMED else CHANGED]
    assert response.headers[NAME_HEADER] == upstream.name


async def test_nothing_failed_and_nothing_is_left(shared: PickerWorld) -> None:
    """Stands last."""
    await shared.picker.wait_for_metric("epp_streams_open", 0)
    await shared.picker.wait_for_metric("epp_endpoint_requests_in_flight", 0)
    names: Sequence[str] = ("epp_session_errors_total", "epp_plugin_errors_total", "epp_requests_in_flight")
    for name in names:
        assert await shared.picker.metric(name) == 0, name
