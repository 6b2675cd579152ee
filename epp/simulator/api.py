"""The OpenAI API in front of a simulated engine."""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import generate_latest

from epp.serving import listening_http, stop_signal
from epp.simulator.engine import Engine, EngineSettings
from epp.simulator.page import make_registry
from epp.simulator.shapes import (
    ChatShape,
    CompletionShape,
    InvalidRequestError,
    Json,
    Shape,
    output_tokens,
    usage,
    word,
)

POD_HEADER = "x-inference-pod"
MAX_BODY_BYTES = 64 * 1024 * 1024


class ModelServer:
    """One simulated model server."""

    def __init__(self, engine: Engine, *, name: str, models: Sequence[str]) -> None:
        """Answer to each of ``models``, as an engine with adapters does; its metrics are labelled with the first."""
        self.name = name
        self._engine = engine
        self._models = models
        self._registry = make_registry(engine, models[0])
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        """Return the routes, ready to be served."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_errors])
        application.router.add_post("/v1/chat/completions", self._chat_completions)
        application.router.add_post("/v1/completions", self._completions)
        application.router.add_get("/v1/models", self._list_models)
        application.router.add_get("/health", self._health)
        application.router.add_get("/metrics", self._metrics)
        application.on_response_prepare.append(self._add_name)
        return application

    async def _add_name(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers[POD_HEADER] = self.name

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _list_models(self, _request: web.Request) -> web.Response:
        common = {"object": "model", "created": _now(), "owned_by": "epp-simulator"}
        return _json({"object": "list", "data": [{"id": model} | common for model in self._models]})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, ChatShape())

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, CompletionShape())

    async def _complete(self, request: web.Request, shape: Shape) -> web.StreamResponse:
        document = await self._read(request)
        frame = {
            "id": f"{self.name}-{next(self._numbers)}",
            "object": shape.name,
            "created": _now(),
            "model": document["model"],
        }
        if document.get("stream") is True:
            return await self._stream(request, document, shape=shape, frame=frame)
        return await self._answer(document, shape=shape, frame=frame)

    async def _read(self, request: web.Request) -> Json:
        try:
            document = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"body is not a JSON object: {error}") from error
        if document.get("model") not in self._models:
            served = ", ".join(f"`{model}`" for model in self._models)
            raise InvalidRequestError(
                f"the model `{document.get('model')}` does not exist; this server has {served}", status=404
            )
        return document

    async def _answer(self, document: Json, *, shape: Shape, frame: Json) -> web.StreamResponse:
        async with self._engine.admitted(shape.prompt(document), output_tokens(document)) as running:
            text = "".join([word(number) async for number in running.tokens()])
        return _json(frame | {"choices": [shape.whole(text)], "usage": usage(running)})

    async def _stream(self, request: web.Request, document: Json, *, shape: Shape, frame: Json) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        with suppress(ConnectionError):  # a client that has gone away
            await self._write_stream(response, request, document, shape=shape, frame=frame)
        return response

    async def _write_stream(
        self, response: web.StreamResponse, request: web.Request, document: Json, *, shape: Shape, frame: Json
    ) -> None:
        async with self._engine.admitted(shape.prompt(document), output_tokens(document)) as running:
            await response.prepare(request)
            last = running.output_tokens - 1
            async for number in running.tokens():
                choice = shape.part(word(number), is_first=number == 0, is_last=number == last)
                await response.write(_event(frame | {"object": shape.chunk_name, "choices": [choice]}))
        if _wants_usage(document):
            await response.write(_event(frame | {"object": shape.chunk_name, "choices": [], "usage": usage(running)}))
        await response.write(b"data: [DONE]\n\n")


async def run_servers(settings: EngineSettings, *, host: str, ports: Sequence[int], models: Sequence[str]) -> None:
    """Run one model server on each port until SIGTERM or SIGINT; raises `OSError` when a port is taken."""
    stop = stop_signal()
    async with AsyncExitStack() as servers:
        for port in ports:
            server = ModelServer(Engine(settings), name=f"sim-{port}", models=models)
            await servers.enter_async_context(listening_http(server.application(), host=host, port=port))
            print(f"{server.name}: http://{host}:{port} serves {', '.join(models)}", flush=True)  # noqa: T201 - a command's output
        await stop.wait()


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidRequestError as error:
        body = {"error": {"message": str(error), "type": "invalid_request_error", "code": error.status}}
        return _json(body, status=error.status)


def _now() -> int:
    """Return seconds since the epoch, as the API's ``created`` has them."""
    return int(dt.datetime.now(dt.UTC).timestamp())


def _wants_usage(document: Mapping[str, Any]) -> bool:
    options = document.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _json(body: Json, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def _event(body: Json) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
