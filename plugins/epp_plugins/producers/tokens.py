"""``token-producer``: has prompts tokenised by an engine, as it would for itself."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

import aiohttp
import msgspec
from msgspec import Meta

from epp.plugin import (
    Attribute,
    ConfigurationError,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PluginParams,
    Problem,
    PromptTokens,
    TokenizedPrompt,
    read_duration,
)

APIS = ("chat/completions", "completions", "messages", "responses")
"""Those that vLLM renders, at their own path with ``/render`` behind it; the longer of two that end alike first."""
GRACE_S = 0.1
"""For noticing that there is no answer in time."""
FAILURES = 3
"""In a row, after which nobody is asked for a while."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
MOST_DOUBLINGS = 10
LEAST_TIMEOUT_S = 0.001
OK = 200
NOT_ITS_FAULT = frozenset({400, 401, 413, 422, 429})
"""Answers that blame the request, or its client: a client must not be able to have nobody asked any more."""
NOT_FOUND = 404
MAX_ANSWER_BYTES = 32 * 1024 * 1024
SCALE_OUT = "start vLLM with --enable-scale-out, or name a `vllm launch render` server in vllm.url"


class Vllm(PluginParams):
    """Who tokenises. Names of the Go pickers."""

    url: str | None = None
    """A server of its own, such as ``http://localhost:8000``; an endpoint of the pool when left out."""
    timeout: str = "400ms"
    """Then the request goes on without tokens; the Go pickers wait for 5s."""
    mm_timeout: str | None = None
    """The same for requests with images; accepted for files of the Go pickers, and not told apart."""
    model_name: str | None = None
    """The model to ask for in place of the request's: a server of its own may not know the adapters."""


class Params(PluginParams):
    """Names of the Go pickers."""

    vllm: Vllm = msgspec.field(default_factory=Vllm)
    model_name: str | None = None
    """The same as in ``vllm``."""
    estimate: dict[str, Any] | None = None
    """Given, as ``{}``: nobody is asked; only prompts that are token ids already have tokens."""


class _Place(msgspec.Struct):
    offset: Annotated[int, Meta(ge=0)]


class _Features(msgspec.Struct):
    mm_placeholders: dict[str, list[_Place]] = msgspec.field(default_factory=dict)


class _Rendered(msgspec.Struct):
    """What vLLM 0.32 answers, as far as it matters here (`GenerateRequest`)."""

    token_ids: list[Annotated[int, Meta(ge=0, lt=2**32)]]
    features: _Features | None = None


_ANSWER: msgspec.json.Decoder[_Rendered | list[_Rendered]] = msgspec.json.Decoder(_Rendered | list[_Rendered])


class TokenProducer:
    """Attaches `PromptTokens`: what vLLM's render endpoint says, or the ids that the request already has."""

    produces: ClassVar[Sequence[type[Attribute]]] = (PromptTokens,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        """Raise `ConfigurationError` for a timeout that is none, or a URL that cannot be one."""
        self._params = params
        self._model = params.vllm.model_name or params.model_name
        self._timeout_s = read_duration(params.vllm.timeout, "vllm.timeout", at_least_s=LEAST_TIMEOUT_S)
        self.deadline_s = self._timeout_s + GRACE_S
        self._url = _base_url(params.vllm.url)
        self._context = context
        failed = context.metrics.counter("epp_tokenize_failures_total", "Questions for tokens that failed.")
        self._count_failure = failed.inc
        self._pauses: dict[str, _Pause] = {}
        """By the server that is asked."""
        self._http: aiohttp.ClientSession | None = None

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Coroutine[None, None, None] | None:
        """Attach the tokens at once where the request has them; else return what asks for them."""
        if request.has_token_ids:
            request.attach(PromptTokens(prompts=[TokenizedPrompt(_ids(prompt)) for prompt in request.prompts]))
            return None
        api = _api_of(request)
        if api is None or self._http is None or self._params.estimate is not None:
            return None
        server = self._url or self._least_busy(candidates)
        if server is None or self._pause(server).is_on:
            return None
        return self._ask(request, server, api, self._http)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget how it answered."""
        self._pauses.pop(_url_of(endpoint), None)

    async def run_in_background(self) -> None:
        """Keep connections open."""
        async with self._connections():
            await asyncio.Event().wait()

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connections, timeout=timeout) as http:
            self._http = http
            try:
                yield
            finally:
                self._http = None

    async def _ask(self, request: InferenceRequest, server: str, api: str, http: aiohttp.ClientSession) -> None:
        try:
            url = f"{server}/v1/{api}/render"
            answer = await _rendered(http, url, self._body(request), headers=self._headers(request))
        except (aiohttp.ClientError, msgspec.MsgspecError, TimeoutError) as error:
            self._count_failure()
            self._pause(server).failed(str(error) or type(error).__name__)
            return
        self._pause(server).succeeded()
        if answer is not None:
            prompts = answer if isinstance(answer, list) else [answer]
            request.attach(PromptTokens(prompts=[TokenizedPrompt(one.token_ids, _media_from(one)) for one in prompts]))

    def _least_busy(self, candidates: Sequence[Endpoint]) -> str | None:
        """Return the endpoint that has the least to do of those that answer; of several, any."""
        now_s = self._context.clock()
        asked = [one for one in candidates if one.avoided_until_s <= now_s and not self._pause(_url_of(one)).is_on]
        if not asked:
            return None
        least = min(map(_requests, asked))
        return _url_of(self._context.random.choice([one for one in asked if _requests(one) == least]))

    def _pause(self, server: str) -> "_Pause":
        pause = self._pauses.get(server)
        if pause is None:
            pause = self._pauses[server] = _Pause(self._context, server)
        return pause

    def _body(self, request: InferenceRequest) -> bytes:
        if self._model is None:
            return request.body
        document = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(document | {"model": self._model})

    def _headers(self, request: InferenceRequest) -> Mapping[str, str]:
        """Return what goes along: an engine of the pool may want the client's key, a server of its own shall not."""
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._url is None and "authorization" in request.head:
            headers["authorization"] = request.head["authorization"]
        return headers


class _Pause:
    """After some failures in a row a server is not asked for a while, longer each time: requests must not wait."""

    def __init__(self, context: PluginContext, server: str) -> None:
        self._clock = context.clock
        self._log = context.log.bind(server=server)
        self._failures = 0
        self._until_s = 0.0

    @property
    def is_on(self) -> bool:
        """Tell whether it should not be asked now."""
        return self._failures >= FAILURES and self._clock() < self._until_s

    def failed(self, problem: str) -> None:
        """Take note that there was no answer that could be used."""
        if self.is_on:
            return  # asked before it was
        self._failures += 1
        if self._failures >= FAILURES:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - FAILURES, MOST_DOUBLINGS))
            self._until_s = self._clock() + pause_s
            self._log.warning("tokenizing_paused", problem=problem, pause_s=pause_s)

    def succeeded(self) -> None:
        """Take note of an answer."""
        self._failures = 0


async def _rendered(
    http: aiohttp.ClientSession, url: str, body: bytes, *, headers: Mapping[str, str]
) -> _Rendered | list[_Rendered] | None:
    """Return what the engine makes of a body, ``None`` for one that it refuses.

    Raises `aiohttp.ClientError`, `msgspec.MsgspecError` or `TimeoutError` when it cannot be asked.
    """
    async with http.post(url, data=body, headers=headers, allow_redirects=False) as response:
        text = await _bounded(response)
        # An unknown model is the client's fault, too; an unknown path has no error of vLLM's in its answer.
        if response.status in NOT_ITS_FAULT or (response.status == NOT_FOUND and b'"error"' in text):
            return None
        if response.status != OK:
            hint = f"; {SCALE_OUT}" if response.status in {403, NOT_FOUND} else ""
            raise aiohttp.ClientPayloadError(f"status {response.status}{hint}")
        return _ANSWER.decode(text)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body; raises `aiohttp.ClientError` for one that is too long to be true."""
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return bytes(text)


def _api_of(request: InferenceRequest) -> str | None:
    """Return which of the APIs a request is for; ``None``: it cannot be rendered."""
    path = request.head.get(":path", "").partition("?")[0]
    return next((api for api in APIS if path.endswith(api)), None) if request.body else None


def _url_of(endpoint: Endpoint) -> str:
    return f"http://{endpoint.host_port}"


def _requests(endpoint: Endpoint) -> int:
    return (endpoint.load.waiting or 0) + (endpoint.load.running or 0)


def _ids(prompt: bytes) -> Sequence[int]:
    """Return the token ids of a prompt that is made of them."""
    return array("I", prompt)


def _media_from(rendered: _Rendered) -> int | None:
    places = rendered.features.mm_placeholders.values() if rendered.features else ()
    return min((place.offset for many in places for place in many), default=None)


def _base_url(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigurationError([Problem("vllm.url", f"`{url}` must begin with http:// or https://")])
    return url.rstrip("/") if url else None
