"""Every metric that the picker exports. The names are part of its interface and do not change.

`docs/metrics.md` lists them; a test keeps the list and this file equal.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from epp.observability.counting import Distribution, Level
from epp.observability.pool_metrics import Pool, PoolCollector
from epp.plugin import Endpoint, Response

MAX_MODELS = 1000
"""Distinct ``model`` label values; clients choose model names, so further ones count as ``other``."""
MAX_MODEL_CHARACTERS = 128
"""Longer names count as ``other`` too."""
_DECISION_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_FIRST_BYTE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_RATIO_BUCKETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Metrics:
    """The picker's metrics, with methods named after what happened."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._models: dict[str, Counter] = {}
        self._picks: dict[str, Counter] = {}
        self._streams_of: dict[tuple[str, str], Counter] = {}
        self._declare_decisions(partial(Counter, registry=registry), partial(Distribution, registry=registry))
        self._declare_answers(partial(Counter, registry=registry), partial(Distribution, registry=registry))
        self._declare_shadow(partial(Counter, registry=registry))
        self._declare_faults(partial(Counter, registry=registry))
        self._reloads = Counter("epp_config_reloads", "New configuration files.", ["result"], registry=registry)
        self._is_current = Gauge(
            "epp_config_is_current", "0 while the file is broken and an older one is in use.", registry=registry
        )
        self._is_current.set(1)
        self._kube_failures = Counter(
            "epp_kube_failures", "Requests to the Kubernetes API that failed.", ["resource", "code"], registry=registry
        )
        self._is_leader = Gauge("epp_is_leader", "1 for the leader, or where none is elected.", registry=registry)
        self._is_leader.set(1)
        self._in_flight = Level("epp_requests_in_flight", "Requests routed and not ended.", registry=registry)
        self._streams_open = Level("epp_streams_open", "ext_proc streams that have not ended.", registry=registry)
        self._body_bytes_held = Level("epp_body_bytes_held", "Request bodies held, in bytes.", registry=registry)

    def _declare_decisions(self, counter: Callable[..., Counter], histogram: Callable[..., Distribution]) -> None:
        self._requests = counter("epp_requests", "Requests received.", ["model"])
        self._errors = counter("epp_request_errors", "Requests answered by the picker itself.", ["code", "reason"])
        self._picked = counter("epp_picks", "Requests routed to an endpoint.", ["endpoint"])
        self._rewrites = counter("epp_model_rewrites", "Requests whose model was to be rewritten.", ["result"])
        self._decisions = histogram(
            "epp_decision_duration_seconds",
            "Time from a complete request to the decision.",
            buckets=_DECISION_BUCKETS_S,
        )
        self._matches = histogram(
            "epp_prefix_match_ratio",
            "Share of a prompt's blocks that the chosen endpoint is believed to have cached.",
            buckets=_RATIO_BUCKETS,
        )

    def _declare_shadow(self, counter: Callable[..., Counter]) -> None:
        self._shadow_decisions = counter("epp_shadow_decisions", "Requests that the shadow was tried on.", ["result"])
        labels = ["by"]
        self._shadow_picks = counter("epp_shadow_picks", "Picks for them.", [*labels, "endpoint"])
        self._shadow_tokens = counter("epp_shadow_matched_tokens", "Prompt tokens expected to be cached there.", labels)
        self._shadow_load = counter("epp_shadow_requests_met", "Requests that were there already.", labels)

    def _declare_answers(self, counter: Callable[..., Counter], histogram: Callable[..., Distribution]) -> None:
        self._endpoint_errors = counter("epp_endpoint_errors", "Answers other than 2xx.", ["endpoint", "code"])
        self._tokens = counter("epp_tokens", "Tokens as the engines report them, where answers are shown.", ["kind"])
        self._first_byte = histogram(
            "epp_time_to_first_byte_seconds",
            "Time from the decision to the head of an answer that is no error.",
            buckets=_FIRST_BYTE_BUCKETS_S,
        )
        self._durations = histogram(
            "epp_request_duration_seconds",
            "Time from the decision to the end of the stream.",
            buckets=_DURATION_BUCKETS_S,
        )

    def _declare_faults(self, counter: Callable[..., Counter]) -> None:
        self._streams = counter(
            "epp_streams", "ext_proc streams by the body modes that gateways name.", ["request_body", "response_body"]
        )
        self._scrape_errors = counter("epp_scrape_errors", "Scrapes that gave no load.", ["endpoint", "reason"])
        self._plugin_errors = counter(
            "epp_plugin_errors", "Plugin calls that failed and were left out.", ["plugin", "point"]
        )
        self._session_errors = counter("epp_session_errors", "ext_proc streams that ended by a fault of the picker.")

    def config_loaded(self, *, is_current: bool) -> None:
        """Tell whether the configuration in use is that of the file."""
        self._is_current.set(int(is_current))

    def kube_failed(self, resource: str, status: int | None) -> None:
        """Count a failed list, watch or update at the API server; ``None``: no answer, or one that cannot be read."""
        self._kube_failures.labels(resource, "" if status is None else str(status)).inc()

    def leadership(self, *, is_leader: bool) -> None:
        """Say whether this picker is the one that gateways should use."""
        self._is_leader.set(is_leader)

    def config_reloaded(self, *, result: str) -> None:
        """Count a new file, ``applied`` or ``refused``."""
        self._reloads.labels(result).inc()

    def shadow_compared(self, result: str) -> None:
        """Count a request that the shadow was tried on: it ``agrees``, ``differs``, or would have ``refused`` it."""
        self._shadow_decisions.labels(result).inc()

    def shadow_picked(self, by: str, endpoint: Endpoint, matched_tokens: int, requests: int) -> None:
        """Count a pick for such a request, ``live`` or ``shadow``, and what was there."""
        self._shadow_picks.labels(by, endpoint.key).inc()
        self._shadow_tokens.labels(by).inc(matched_tokens)
        self._shadow_load.labels(by).inc(requests)

    def request_received(self, model: str) -> None:
        """Count a request; ``model`` is empty when none was named."""
        counter = self._models.get(model)
        if counter is None:
            fits = len(self._models) < MAX_MODELS and len(model) <= MAX_MODEL_CHARACTERS
            label = model if fits else "other"
            counter = self._requests.labels(label)
            if fits:
                self._models[model] = counter
        counter.inc()

    def request_rejected(self, status: int, reason: str) -> None:
        """Count an answer that the picker gave itself."""
        self._errors.labels(str(status), reason).inc()

    def request_routed(self, endpoint: Endpoint, duration_s: float, match_ratio: float | None) -> None:
        """Count a decision; ``match_ratio`` is ``None`` where no prefix was looked up."""
        counter = self._picks.get(endpoint.key)
        if counter is None:
            counter = self._picks[endpoint.key] = self._picked.labels(endpoint.key)
        counter.inc()
        self._decisions.observe(duration_s)
        if match_ratio is not None:
            self._matches.observe(match_ratio)
        self._in_flight.value += 1

    def request_ended(self, response: Response) -> None:
        """Undo what `request_routed` added to the requests in flight, and note what the answer told."""
        self._in_flight.value -= 1
        if response.duration_s is not None:
            self._durations.observe(response.duration_s)
        usage = response.usage
        if usage is not None:
            for kind, tokens in (
                ("prompt", usage.prompt_tokens),
                ("completion", usage.completion_tokens),
                ("cached", usage.cached_tokens),
            ):
                self._tokens.labels(kind).inc(tokens or 0)

    def first_byte_seen(self, after_s: float) -> None:
        """Note how long an endpoint took to begin its answer."""
        self._first_byte.observe(after_s)

    def endpoint_answered_error(self, endpoint: Endpoint, status: int) -> None:
        """Count an answer that was no success; that of an endpoint which has left the pool has no series any more."""
        if not endpoint.has_left:
            self._endpoint_errors.labels(endpoint.key, str(status)).inc()

    def model_rewrite_asked(self, *, is_possible: bool) -> None:
        """Count a request whose model was to be rewritten, and whether the gateway lets us."""
        self._rewrites.labels("applied" if is_possible else "impossible").inc()

    def stream_opened(self) -> None:
        """Count a stream that begins."""
        self._streams_open.value += 1

    def stream_closed(self, request_body_mode: str, response_body_mode: str) -> None:
        """Undo `stream_opened`, and count the stream by the body modes that its gateway named."""
        self._streams_open.value -= 1
        modes = request_body_mode, response_body_mode
        counter = self._streams_of.get(modes)
        if counter is None:
            counter = self._streams_of[modes] = self._streams.labels(*modes)
        counter.inc()

    def body_bytes_held(self, count: int) -> None:
        """Note how many bytes of request bodies are held in all."""
        self._body_bytes_held.value = count

    def scrape_failed(self, endpoint: Endpoint, reason: str) -> None:
        """Count a scrape without a usable page, by one of a few reasons; an endpoint that has left has no series."""
        if endpoint.has_left:
            return
        self._scrape_errors.labels(endpoint.key, reason).inc()

    def plugin_failed(self, plugin: str, point: str) -> None:
        """Count a contained failure of a plugin at an extension point."""
        self._plugin_errors.labels(plugin, point).inc()

    def session_failed(self) -> None:
        """Count a stream that ended by a fault of ours."""
        self._session_errors.inc()

    def endpoint_removed(self, endpoint: Endpoint) -> None:
        """Drop the series of an endpoint that left the pool, so that they do not pile up."""
        self._picks.pop(endpoint.key, None)
        self._picked.remove_by_labels({"endpoint": endpoint.key})
        self._scrape_errors.remove_by_labels({"endpoint": endpoint.key})
        self._endpoint_errors.remove_by_labels({"endpoint": endpoint.key})

    def watch_pool(self, pool: Pool) -> None:
        """Export what is known of the endpoints, read whenever the metrics are collected."""
        self.registry.register(PoolCollector(pool))
