"""Prompts are tokenised by whoever serves vLLM's render endpoints, over real HTTP."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.plugin import ConfigurationError, Endpoint, InferenceRequest, PromptTokens, TokenizedPrompt
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.producers.tokens import FAILURES, FIRST_PAUSE_S, Params, TokenProducer, Vllm

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Engine:
    """Answers as it is told to, and keeps what it was asked."""

    status: int = 200
    answer: Any = field(default_factory=lambda: {"token_ids": [1, 2, 3], "features": None, "model": "m"})
    delay_s: float = 0.0
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)
    """Path, body, key."""

    async def render(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.json(), request.headers.get("authorization")))
        await asyncio.sleep(self.delay_s)
        return web.json_response(self.answer, status=self.status)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[Endpoint]:
    (port,) = free_ports(HOST, [0])
    application = web.Application()
    application.router.add_post("/{path:.*}", engine.render)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield make_endpoint(address=HOST, port=port)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def working(params: Params, *, clock: Clock | None = None) -> AsyncIterator[TokenProducer]:
    producer = TokenProducer(params, make_context(clock=clock or Clock()))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(producer.run_in_background())
        await asyncio.sleep(0)
        yield producer
        task.cancel()


def chat(*, path: str = "/v1/chat/completions", key: str | None = None) -> InferenceRequest:
    head = {":path": path} | ({"authorization": key} if key else {})
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
    return make_request(head=head, body=body)


async def tokens_of(producer: TokenProducer, request: InferenceRequest, *endpoints: Endpoint) -> Any:
    pending = producer.produce(request, endpoints)
    if pending is not None:
        await pending
    tokens = request.attribute(PromptTokens)
    return None if tokens is None else tokens.prompts


async def test_endpoint_of_the_pool_is_asked_with_the_clients_key() -> None:
    engine = Engine()
    async with serving(engine) as endpoint, working(Params()) as producer:
        assert await tokens_of(producer, chat(key="Bearer x"), endpoint) == [TokenizedPrompt([1, 2, 3])]
    assert engine.asked == [("/v1/chat/completions/render", CHAT, "Bearer x")]


async def test_endpoint_with_the_least_to_do_is_asked() -> None:
    idle, busy = Engine(), Engine()
    async with serving(idle) as one, serving(busy) as other, working(Params()) as producer:
        other.load = make_endpoint(waiting=1).load
        for _ in range(5):
            await tokens_of(producer, chat(), other, one)
    assert (len(idle.asked), len(busy.asked)) == (5, 0)


async def test_server_of_its_own_is_asked_without_the_clients_key_and_by_its_models_name() -> None:
    engine = Engine()
    async with serving(engine) as server:
        params = Params(vllm=Vllm(url=f"http://{server.host_port}/", model_name="base"))
        async with working(params) as producer:
            await tokens_of(producer, chat(key="Bearer x"), make_endpoint())
    assert engine.asked == [("/v1/chat/completions/render", CHAT | {"model": "base"}, None)]


@pytest.mark.parametrize("api", ["chat/completions", "completions", "messages", "responses"])
async def test_every_api_is_rendered_at_its_own_path(api: str) -> None:
    engine = Engine()
    async with serving(engine) as endpoint, working(Params()) as producer:
        await tokens_of(producer, chat(path=f"/openai/v1/{api}?x=1"), endpoint)
    assert engine.asked[0][0] == f"/v1/{api}/render"


async def test_each_prompt_of_a_completion_has_its_tokens() -> None:
    engine = Engine(answer=[{"token_ids": [1]}, {"token_ids": [2, 3]}])
    async with serving(engine) as endpoint, working(Params()) as producer:
        found = await tokens_of(producer, chat(path="/v1/completions"), endpoint)
    assert found == [TokenizedPrompt([1]), TokenizedPrompt([2, 3])]


async def test_place_of_the_first_image_is_told() -> None:
    places = {"image": [{"offset": 7, "length": 2}, {"offset": 3, "length": 2}], "audio": [{"offset": 5, "length": 1}]}
    features = {"mm_hashes": {}, "mm_placeholders": places}
    engine = Engine(answer={"token_ids": [0] * 10, "features": features})
    async with serving(engine) as endpoint, working(Params()) as producer:
        assert await tokens_of(producer, chat(), endpoint) == [TokenizedPrompt([0] * 10, media_from=3)]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(make_request(head={":path": "/v1/chat/completions"}), id="no body that is known"),
        pytest.param(make_request(head={":path": "/v1/embeddings"}, body=b"{}"), id="API that cannot be rendered"),
        pytest.param(make_request(head={":path": "/v1/completions/render"}, body=b"{}"), id="client renders itself"),
    ],
)
async def test_nobody_is_asked_in_vain(request_: InferenceRequest) -> None:
    engine = Engine()
    async with serving(engine) as endpoint, working(Params()) as producer:
        assert await tokens_of(producer, request_, endpoint) is None
    assert engine.asked == []


async def test_nobody_is_asked_where_sizes_are_to_be_estimated() -> None:
    engine = Engine()
    async with serving(engine) as endpoint, working(Params(estimate={})) as producer:
        assert await tokens_of(producer, chat(), endpoint) is None
    assert engine.asked == []


async def test_token_ids_are_taken_as_they_are() -> None:
    producer = TokenProducer(Params(estimate={}), make_context())
    request = make_request(prompts=[array("I", [5, 6, 7]).tobytes()], has_token_ids=True)
    (prompt,) = await tokens_of(producer, request)
    assert list(prompt.token_ids) == [5, 6, 7]


async def test_endpoint_that_is_avoided_or_fails_is_not_asked_as_long_as_another_one_answers() -> None:
    good, bad = Engine(), Engine(status=500)
    async with serving(good) as one, serving(bad) as other, working(Params()) as producer:
        for _ in range(FAILURES):
            assert await tokens_of(producer, chat(), other) is None
        assert await tokens_of(producer, chat(), one, other) is not None
        other.avoided_until_s = 1.0
        assert await tokens_of(producer, chat(), other) is None
    assert (len(good.asked), len(bad.asked)) == (1, FAILURES)


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(Engine(status=403), id="not allowed"),
        pytest.param(Engine(status=500), id="broken"),
        pytest.param(Engine(status=404, answer={"detail": "Not Found"}), id="no such path"),
        pytest.param(Engine(status=307), id="redirect"),
        pytest.param(Engine(answer={"tokens": []}), id="another answer"),
        pytest.param(Engine(answer={"token_ids": [-1]}), id="ids below 0"),
        pytest.param(Engine(answer={"token_ids": [2**32]}), id="ids too large"),
        pytest.param(Engine(delay_s=2.0), id="too slow"),
    ],
)
async def test_server_that_fails_is_left_alone_for_a_while(engine: Engine) -> None:
    clock = Clock()
    async with serving(engine) as endpoint, working(Params(vllm=Vllm(timeout="500ms")), clock=clock) as producer:
        for _ in range(FAILURES + 2):
            assert await tokens_of(producer, chat(), endpoint) is None
        assert len(engine.asked) == FAILURES
        clock.now_s = FIRST_PAUSE_S
        await tokens_of(producer, chat(), endpoint)
        clock.now_s = 2.9 * FIRST_PAUSE_S
        await tokens_of(producer, chat(), endpoint)
        assert len(engine.asked) == FAILURES + 1


async def test_server_that_is_gone_costs_a_request_its_tokens_and_nothing_else() -> None:
    async with serving(Engine()) as gone:
        pass
    async with working(Params()) as producer:
        assert await tokens_of(producer, chat(), gone) is None


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(Engine(status=400), id="bad request"),
        pytest.param(Engine(status=401), id="wrong key"),
        pytest.param(Engine(status=404, answer={"error": {"message": "no such model"}}), id="unknown model"),
        pytest.param(Engine(status=429), id="busy"),
    ],
)
async def test_request_that_the_engine_refuses_is_no_failure(engine: Engine) -> None:
    async with serving(engine) as endpoint, working(Params()) as producer:
        for _ in range(FAILURES + 2):
            assert await tokens_of(producer, chat(), endpoint) is None
    assert len(engine.asked) == FAILURES + 2


@pytest.mark.parametrize(
    ("vllm", "message"),
    [
        pytest.param(Vllm(timeout="soon"), "vllm.timeout: `soon` is no duration", id="timeout"),
        pytest.param(Vllm(timeout="0s"), "vllm.timeout: must be 1ms or more", id="no time"),
        pytest.param(Vllm(url="localhost:8000"), "must begin with http:// or https://", id="no URL"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(vllm: Vllm, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TokenProducer(Params(vllm=vllm), make_context())


async def test_many_failures_at_once_pause_no_longer_than_one() -> None:
    clock, engine = Clock(), Engine(status=500)
    async with serving(engine) as endpoint, working(Params(), clock=clock) as producer:
        await asyncio.gather(*(tokens_of(producer, chat(), endpoint) for _ in range(FAILURES + 20)))
        clock.now_s = FIRST_PAUSE_S
        await tokens_of(producer, chat(), endpoint)
    assert len(engine.asked) == FAILURES + 20 + 1
