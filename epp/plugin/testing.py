"""For the tests of plugin authors: builders with defaults, so that a test names only what it is about."""

import random
from collections.abc import Callable, Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry

from epp.plugin.context import PluginContext
from epp.plugin.endpoint import Endpoint, EndpointSpec, Load
from epp.plugin.metrics import PluginMetrics
from epp.plugin.request import InferenceRequest, ParsedBody


def make_endpoint(  # noqa: PLR0913 - a builder with a default for each
    name: str = "pod-1",
    *,
    port: int = 8000,
    address: str = "10.0.0.1",
    labels: Mapping[str, str] | None = None,
    waiting: int | None = 0,
    running: int | None = 0,
    kv_cache_ratio: float | None = 0.0,
    ready: bool = True,
) -> Endpoint:
    """Return an idle, ready endpoint; ``None`` for a number stands for a metrics page without it."""
    load = Load(waiting=waiting, running=running, kv_cache_ratio=kv_cache_ratio)
    spec = EndpointSpec(name=name, address=address, port=port, labels=labels or {})
    return Endpoint(spec, load=load, ready=ready)


def make_request(  # noqa: PLR0913 - a builder with a default for each
    *,
    model: str = "tiny",
    prompts: Sequence[bytes] = (b"Hello",),
    head: Mapping[str, str] | None = None,
    body: bytes = b"",
    request_id: str = "request-1",
    cache_salt: str = "",
    prompt_cache_key: str = "",
    has_token_ids: bool = False,
    has_media: bool = False,
) -> InferenceRequest:
    """Return a parsed request; ``body`` is only needed by plugins that read it."""
    parsed = ParsedBody(
        model=model,
        prompts=prompts,
        cache_salt=cache_salt,
        prompt_cache_key=prompt_cache_key,
        has_token_ids=has_token_ids,
        has_media=has_media,
    )
    size = len(body) or len(b"".join(prompts))
    return InferenceRequest(request_id=request_id, head=head or {}, parsed=parsed, body_bytes=size, body=body)


def make_context(name: str = "plugin", *, seed: int = 0, clock: Callable[[], float] = lambda: 0.0) -> PluginContext:
    """Return a context with seeded randomness, a clock that stands still and a log that is thrown away."""
    return PluginContext(
        name=name,
        clock=clock,
        random=random.Random(seed),  # noqa: S311 - picks, not secrets
        log=structlog.wrap_logger(None, processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(0)),
        metrics=PluginMetrics(CollectorRegistry(), name),
    )


def _drop(_logger: object, _method: str, _event: object) -> structlog.typing.ProcessorReturnValue:
    raise structlog.DropEvent
