"""The simulated model server over real HTTP: what an OpenAI client and a scraper see."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from epp.datalayer.core_metrics import CoreMetricsExtractor, Params
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.plugin.testing import make_endpoint
from epp.serving import listening_http
from epp.simulator import Engine, EngineSettings, ModelServer

SETTINGS = EngineSettings(prefill_tokens_per_second=1e6, decode_tokens_per_second=1e4, block_count=200)
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello " * 50}], "max_tokens": 3}
TEXT: dict[str, Any] = {"model": "tiny", "prompt": "Hello " * 50, "max_tokens": 3}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    (port,) = free_ports(HOST, [0])
    server = ModelServer(Engine(SETTINGS), name="sim-a", models=["tiny", "tiny-v2"])
    listening = listening_http(server.application(), host=HOST, port=port)
    async with listening, aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        yield session


async def events_of(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> list[str]:
    async with http.post(path, json=body) as response:
        assert response.content_type == "text/event-stream"
        return [line[6:] for line in (await response.text()).splitlines() if line.startswith("data: ")]


async def test_chat_completion_has_text_usage_and_the_servers_name(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/chat/completions", json=CHAT) as response:
        answer = await response.json()
        assert response.headers["x-inference-pod"] == "sim-a"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "The quick brown"}
    assert answer["usage"]["completion_tokens"] == 3


async def test_second_request_with_the_same_prompt_reports_cached_tokens(http: aiohttp.ClientSession) -> None:
    usages = []
    for _ in range(2):
        async with http.post("/v1/completions", json=TEXT) as response:
            usages.append((await response.json())["usage"])
    assert usages[0]["prompt_tokens"] == 75
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 64]


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT)])
async def test_streamed_answer_is_events_with_usage_last(
    http: aiohttp.ClientSession, path: str, body: dict[str, Any]
) -> None:
    events = await events_of(http, path, body | {"stream": True, "stream_options": {"include_usage": True}})
    assert events[-1] == "[DONE]"
    *parts, usage = map(json.loads, events[:-1])
    texts = [part["choices"][0].get("text") or part["choices"][0]["delta"]["content"] for part in parts]
    assert texts == ["The", " quick", " brown"]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None, None, "length"]
    assert {part["object"] for part in parts} == {usage["object"]}
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + 3


async def test_streamed_answer_without_the_option_has_no_usage(http: aiohttp.ClientSession) -> None:
    events = await events_of(http, "/v1/completions", TEXT | {"stream": True})
    assert not any("usage" in event for event in events)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"hello", 400, "body is not a JSON object", id="no JSON"),
        pytest.param(b"[]", 400, "body is not a JSON object", id="list"),
        pytest.param(b'{"model": "gpt"}', 404, "the model `gpt` does not exist", id="other model"),
        pytest.param(b'{"model": "tiny", "messages": ["x"]}', 400, "messages: each must be an object", id="no object"),
        pytest.param(
            b'{"model": "tiny", "max_tokens": 1%s, "messages": [{}]}' % (b"0" * 310),
            400,
            "max_tokens: must be a whole number from 1 to 1000000",
            id="endless answer",
        ),
        pytest.param(b'{"model": "tiny"}', 400, "messages: at least one is required", id="no messages"),
    ],
)
async def test_bad_request_is_an_openai_error(
    http: aiohttp.ClientSession, body: bytes, status: int, message: str
) -> None:
    async with http.post("/v1/chat/completions", data=body) as response:
        assert response.status == status
        assert (await response.json())["error"]["message"].startswith(message)


async def test_answer_names_the_model_that_was_asked_for(http: aiohttp.ClientSession) -> None:
    for model in ("tiny", "tiny-v2"):
        async with http.post("/v1/chat/completions", json=CHAT | {"model": model}) as response:
            assert (await response.json())["model"] == model


async def test_models_and_health_answer(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["tiny", "tiny-v2"]
    async with http.get("/health") as response:
        assert response.status == 200


async def test_metrics_page_reads_like_vllms(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/completions", json=TEXT | {"stream": True, "max_tokens": 5000}) as response:
        await response.content.readline()
        async with http.get("/metrics") as page:
            text = await page.read()
        load = CoreMetricsExtractor(Params()).read_load(make_endpoint(), text).load
    assert (load.waiting, load.running, load.block_size_tokens, load.block_count) == (0, 1, 16, 200)
    assert load.kv_cache_ratio is not None
    assert load.kv_cache_ratio > 0
    assert b'vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 75.0' in text


async def test_text_in_parts_counts_like_text_in_one_piece(http: aiohttp.ClientSession) -> None:
    """GuideLLM and others send a user's message as a list of parts."""
    text = CHAT["messages"][0]["content"]
    parts = [{"type": "text", "text": text[:7]}, {"type": "text", "text": text[7:]}]
    counts = []
    for content in (text, parts):
        async with http.post(
            "/v1/chat/completions", json=CHAT | {"messages": [{"role": "user", "content": content}]}
        ) as response:
            counts.append((await response.json())["usage"]["prompt_tokens"])
    assert counts[0] == counts[1]


async def test_client_that_leaves_a_stream_is_no_error(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mostly the handler is cancelled before it writes again; when it is not, the write fails."""

    async def fails(_response: web.StreamResponse, _data: bytes) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(web.StreamResponse, "write", fails)
    async with http.post("/v1/completions", json=TEXT | {"stream": True}) as response:
        assert await response.read() == b""
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
