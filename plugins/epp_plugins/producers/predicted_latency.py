"""``predicted-latency-producer``: how fast each endpoint will answer, learned from the answers that were seen."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import (
    Attribute,
    Decision,
    Endpoint,
    InferenceRequest,
    LatencyPredictions,
    PluginParams,
    PrefixMatches,
    Response,
)
from epp_plugins.latency.line import Line

TTFT_HEADER, TPOT_HEADER = "x-llm-d-slo-ttft-ms", "x-llm-d-slo-tpot-ms"
LEAST_SAMPLES = 10
"""Answers of an endpoint before anything is predicted of it."""
TOKENS, REQUESTS = 1000.0, 10.0
"""Units of the features, so that all are of the same size."""
LEAST_CHUNKS = 2


class Params(PluginParams):
    """Names and defaults of the Go pickers, which ask servers of their own; most have no meaning here."""

    slo_buffer_factor: Annotated[float, Meta(gt=0)] = 1.0
    """What a request's own bounds are multiplied by."""
    streaming_mode: bool = True
    """Accepted for files of the Go pickers, like all that follow: only streams show their first token."""
    context_ttl: str | None = None
    endpoint_role_label: str | None = None
    predict_in_produce: bool = True
    use_encoder_cache_features: bool = False


class _Model:
    """What is known of one endpoint."""

    def __init__(self) -> None:
        self.ttft = Line(3)
        self.tpot = Line(2)


class _Features:
    """What a request met where it was sent, kept until its answer is over."""

    __slots__ = ("endpoint", "tpot", "ttft")

    def __init__(self, request: InferenceRequest, endpoint: Endpoint) -> None:
        waiting, running = endpoint.load.waiting or 0, endpoint.load.running or 0
        new_tokens = endpoint.in_flight.tokens + request.uncached_tokens(endpoint)
        self.endpoint = endpoint
        self.ttft = (1.0, new_tokens / TOKENS, (waiting + running) / REQUESTS)
        self.tpot = (1.0, (waiting + running + 1) / REQUESTS)


class PredictedLatencyProducer:
    """Attaches `LatencyPredictions`, from a line for each endpoint that is learned of its answers.

    TTFT is a line over the tokens to compute and the requests there, TPOT over the requests. It learns from streams
    whose bodies the gateway shows, and asks nobody.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (LatencyPredictions,)
    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params) -> None:
        self._factor = params.slo_buffer_factor
        self._models: dict[Endpoint, _Model] = {}

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach what is expected of the candidates that are known."""
        ttft_s: dict[Endpoint, float] = {}
        tpot_s: dict[Endpoint, float] = {}
        for endpoint in candidates:
            model = self._models.get(endpoint)
            if model is None or min(model.ttft.samples, model.tpot.samples) < LEAST_SAMPLES:
                continue
            features = _Features(request, endpoint)
            ttft_s[endpoint] = model.ttft.predict(features.ttft)
            tpot_s[endpoint] = model.tpot.predict(features.tpot)
        request.attach(
            LatencyPredictions(
                ttft_s=ttft_s,
                tpot_s=tpot_s,
                ttft_slo_s=_seconds(request, TTFT_HEADER) * self._factor,
                tpot_slo_s=_seconds(request, TPOT_HEADER) * self._factor,
            )
        )

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Keep what the request meets."""
        request.attach(_Features(request, decision.primary))

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Learn from an answer that was seen from its first piece to its last."""
        features = request.attribute(_Features)
        if features is None or features.endpoint.has_left or not _is_seen(request, response):
            return
        if decision.named(response.served_by) not in {None, features.endpoint}:
            return
        first_s, last_s = response.first_chunk_s or 0.0, response.last_chunk_s or 0.0
        completion = response.usage.completion_tokens if response.usage is not None else None
        model = self._models.setdefault(features.endpoint, _Model())
        model.ttft.learn(features.ttft, first_s)
        model.tpot.learn(features.tpot, (last_s - first_s) / max(1, (completion or response.chunks) - 1))

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint."""
        self._models.pop(endpoint, None)


def _is_seen(request: InferenceRequest, response: Response) -> bool:
    """Tell whether an answer tells both latencies."""
    is_good = response.status is not None and not response.is_error and response.is_complete
    return is_good and request.stream and response.chunks >= LEAST_CHUNKS


def _seconds(request: InferenceRequest, header: str) -> float:
    """Return what a header with milliseconds says; 0 for none, or one that makes no sense."""
    text = request.head.get(header, "")
    return int(text) / 1000 if text.isascii() and text.isdigit() and len(text) <= len("86400000") else 0.0
