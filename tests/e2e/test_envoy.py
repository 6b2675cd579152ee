"""A request through a real Envoy, in both body modes: everything between the client and the model server is real."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from epp.demo.envoy import BodyMode
from tests.fakes.running import RunningPicker, running_envoy, running_picker
from tests.fakes.upstream import NAME_HEADER, Upstream, running_upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
SIZES = [pytest.param(89, id="89 B"), pytest.param(70_000, id="70 KB"), pytest.param(1_200_000, id="1.2 MB")]


@dataclass
class World:
    """An Envoy, the picker behind it, and three upstreams."""

    url: str
    picker: RunningPicker
    upstreams: list[Upstream]
    http: aiohttp.ClientSession

    @property
    def last_body(self) -> bytes:
        (body,) = [upstream.bodies[-1] for upstream in self.upstreams if upstream.bodies]
        return body

    async def post(self, body: bytes, *, path: str = CHAT, **headers: str) -> aiohttp.ClientResponse:
        async with self.http.post(self.url + path, data=io.BytesIO(body), headers=headers) as response:
            await response.read()
        return response


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[BodyMode.BUFFERED, BodyMode.FULL_DUPLEX])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with (
        running_upstreams(3) as upstreams,
        running_picker([upstream.name for upstream in upstreams]) as picker,
        running_envoy(picker, request.param) as url,
        aiohttp.ClientSession() as http,
    ):
        yield World(url, picker, upstreams, http)


@pytest.fixture
def world(shared: World) -> World:
    """The shared processes with upstreams that remember nothing yet."""
    for upstream in shared.upstreams:
        upstream.bodies.clear()
        upstream.heads.clear()
    return shared


def chat_body(size: int) -> bytes:
    """A chat request of exactly this many bytes, with odd spacing, key order and numbers that must survive."""
    head = b'{ "model":"tiny",\n"seed": 9007199254740993, "messages" :[{"role":"user","content":"'
    tail = b'"}]}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


@pytest.mark.parametrize("size", SIZES)
async def test_body_arrives_byte_for_byte(world: World, size: int) -> None:
    body = chat_body(size)
    assert len(body) == size
    response = await world.post(body)
    assert response.status == 200
    assert world.last_body == body


@pytest.mark.parametrize("size", SIZES)
async def test_body_without_content_length_arrives_byte_for_byte(world: World, size: int) -> None:
    body = chat_body(size)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 30_000):
            yield body[start : start + 30_000]

    async with world.http.post(world.url + CHAT, data=chunks()) as response:
        assert response.status == 200
    assert world.last_body == body


async def test_endpoint_that_was_named_is_the_one_that_served(world: World) -> None:
    for number in range(10):
        request_id = f"named-{number}"
        response = await world.post(chat_body(200 + number), **{"x-request-id": request_id})
        event = await world.picker.event(event="request_routed", path=CHAT, request_id=request_id)
        assert event["endpoint"] == f"default/{response.headers[NAME_HEADER]}"


async def test_get_without_a_body_is_routed(world: World) -> None:
    async with world.http.get(world.url + "/v1/models") as response:
        assert response.status == 200
        assert response.headers[NAME_HEADER] in {upstream.name for upstream in world.upstreams}


async def test_answer_streams_through_chunk_by_chunk(world: World) -> None:
    """Each event is sent only after the one before has reached the client: nothing on the way holds one back."""
    body = b'{"model": "tiny", "prompt": "stream"}'
    async with world.http.post(world.url + "/v1/stream/completions", data=body) as response:
        (upstream,) = [one for one in world.upstreams if one.name == response.headers[NAME_HEADER]]
        for number in range(3):
            async with asyncio.timeout(5):
                assert await response.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
            upstream.next_chunk.set()
        assert await response.content.read() == b""


async def test_same_prompt_goes_to_the_same_endpoint(world: World) -> None:
    bodies = [chat_body(5_000).replace(b"xx", letter * 2) for letter in (b"a", b"b", b"c", b"d")]
    for body in bodies:
        served = {(await world.post(body)).headers[NAME_HEADER] for _ in range(5)}
        assert len(served) == 1


async def test_client_cannot_choose_the_endpoint_nor_pass_control_headers_on(world: World) -> None:
    response = await world.post(
        chat_body(100),
        **{
            "x-gateway-destination-endpoint": "127.0.0.1:1",
            "x-gateway-inference-objective": "important",
            "x-llm-d-inference-fairness-id": "me",
            "x-other": "kept",
        },
    )
    assert response.status == 200
    (head,) = [upstream.heads[-1] for upstream in world.upstreams if upstream.heads]
    assert head["x-gateway-destination-endpoint"] == response.headers[NAME_HEADER]
    assert head["x-other"] == "kept"
    assert not {"x-gateway-inference-objective", "x-llm-d-inference-fairness-id"} & head.keys()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"hello", "the body is not valid JSON", id="no JSON"),
        pytest.param(b'{"messages": []}', "`model` is required", id="no model"),
        pytest.param(b'{"model": "m"}', "`messages` is required", id="no messages"),
        pytest.param(b"", "the request has no body", id="no body"),
        pytest.param(b"\xff" * 200_000, "the body is not valid JSON", id="200 KB of garbage"),
    ],
)
async def test_nonsense_is_400_with_a_reason_and_reaches_nobody(world: World, body: bytes, message: str) -> None:
    async with world.http.post(world.url + CHAT, data=body) as response:
        assert response.status == 400
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-llm-d-request-dropped-reason"] == "rejected-bad-request"
        assert (await response.json())["error"]["message"].startswith(message)
    assert not any(upstream.bodies for upstream in world.upstreams)


async def test_client_that_goes_away_leaves_nothing_behind(world: World) -> None:
    await world.picker.wait_for_metric("epp_requests_in_flight", 0)
    body = b'{"model": "tiny", "prompt": "stream"}'
    async with world.http.post(world.url + "/v1/stream/completions", data=body) as response:
        await response.content.readuntil(b"\n\n")
        await world.picker.wait_for_metric("epp_requests_in_flight", 1)
        response.close()
    await world.picker.wait_for_metric("epp_requests_in_flight", 0)
    assert await world.picker.metric("epp_requests_in_flight") == 0


async def test_picker_reports_no_failure_of_its_own(world: World) -> None:
    """Stands last: nothing that the tests before did made a plugin or a stream fail."""
    assert await world.picker.metric("epp_session_errors_total") == 0
    assert await world.picker.metric("epp_plugin_errors_total") == 0


async def test_dead_endpoint_is_left_out_and_no_endpoint_is_503(world: World) -> None:
    """Takes the upstreams down one after the other, so it stands behind every test that needs them."""
    first, *others = world.upstreams
    await first.stop()
    await world.picker.wait_for_metric("epp_endpoints_ready", 2)
    responses = [await world.post(chat_body(300 + number)) for number in range(12)]
    assert {response.status for response in responses} == {200}
    assert first.name not in {response.headers[NAME_HEADER] for response in responses}
    for upstream in others:
        await upstream.stop()
    await world.picker.wait_for_metric("epp_endpoints_ready", 0)
    async with world.http.post(world.url + CHAT, data=chat_body(100)) as response:
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
        assert response.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
        error = json.loads(await response.read())["error"]
    assert error["message"] == "none of the pool's 3 endpoints is ready; retry later"
