"""``precise-prefix-cache-producer``: knows from the engines themselves which endpoint has which prompt beginning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.plugin import (
    Attribute,
    ConfigurationError,
    Decision,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PrefixMatches,
    Problem,
    PromptTokens,
    Response,
)
from epp_plugins.kvevents.exact import ExactIndex
from epp_plugins.kvevents.followers import EventSockets, Followers
from epp_plugins.kvevents.params import Params
from epp_plugins.kvevents.stream import Trust
from epp_plugins.kvevents.tokenized import TokenizedRequest
from epp_plugins.producers import approx_prefix_cache as approx

UNHEARD = 8
"""Requests in a row that an endpoint has served without naming a block of theirs: then its events say nothing."""
FIRST_ERROR_STATUS = 400


class PrecisePrefixCacheProducer:
    """Attaches `PrefixMatches` from what engines say of their caches, in events over ZMQ.

    Beside it the approximate index is kept. It answers for an endpoint whose events do not come or say nothing of the
    requests that it serves, for requests without tokens, and where it knows more than the part that was heard.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)
    consumes: ClassVar[Sequence[type[Attribute]]] = (PromptTokens,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        """Raise `ConfigurationError` for engines that are to connect by themselves."""
        if not params.kv_events_config.discover_pods:
            message = "false is not supported: engines are listened to at sockets of their own"
            raise ConfigurationError([Problem("parameters.kvEventsConfig.discoverPods", message)])
        self._params = params
        self._log = context.log
        self._approx = approx.ApproxPrefixCacheProducer(approx.Params(), context)
        self._index: ExactIndex[Endpoint] = ExactIndex(
            max_blocks=params.indexer_config.kv_block_index_config.in_memory_config.size
        )
        events = params.kv_events_config
        sockets = EventSockets(
            port=events.pod_discovery_config.socket_port,
            replay_port=events.pod_discovery_config.replay_socket_port,
            topic=events.topic_filter,
        )
        self._followers = Followers(self._index, sockets, context.log)
        self._unheard: dict[Endpoint, int] = {}
        self._is_exact: dict[Endpoint, bool] = {}
        blocks = context.metrics.gauge("epp_prefix_exact_blocks", "Prefix blocks that engines say they have.")
        blocks.set_function(lambda: len(self._index))
        context.metrics.registry.register(_ExactCollector(self._is_exact))

    async def run_in_background(self) -> None:
        """Listen to the engines."""
        await self._followers.run()

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach how much of the prompts each endpoint has, by the best that is known of it."""
        self._approx.produce(request, candidates)
        tokens, believed = request.attribute(PromptTokens), request.attribute(PrefixMatches)
        if tokens is None or believed is None:
            return
        adapter = request.model if request.model in self._index.adapters else ""
        exact = TokenizedRequest(request, tokens.prompts, adapter=adapter)
        if not exact.tokens:
            return
        request.attach(exact)
        # In the estimated tokens that everything else counts in; what matters is the share.
        scale = believed.total_tokens / exact.tokens
        found = exact.matched(self._index)
        matched: dict[Endpoint, int] = {}
        for endpoint in candidates:
            known, guessed = round(found.get(endpoint, 0) * scale), believed.matched_tokens.get(endpoint, 0)
            trust = self._trust(endpoint)
            if trust is Trust.ALL and not exact.has_media:
                matched[endpoint] = known
            else:
                matched[endpoint] = guessed if trust is Trust.NOTHING else max(known, guessed)
        request.attach(
            PrefixMatches(
                matched_tokens={endpoint: count for endpoint, count in matched.items() if count},
                total_tokens=believed.total_tokens,
                first_block=believed.first_block,
            )
        )

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Take it that the primary endpoint is about to have the prompts' blocks."""
        self._approx.on_routed(request, decision)
        exact = request.attribute(TokenizedRequest)
        if exact is not None:
            self._claim(exact, decision.primary)
            if len(decision.endpoints) == 1:
                exact.forget()

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Move the blocks to the endpoint that has served; an answer that is an error computed nothing."""
        headers = self._approx.on_response_head(request, decision, response)
        exact = request.attribute(TokenizedRequest)
        if exact is None or response.status is None:
            return headers
        served = decision.named(response.served_by)
        if response.status >= FIRST_ERROR_STATUS:
            self._release(exact)
        elif served is not None and served is not exact.endpoint:
            self._release(exact)
            self._claim(exact, served)
        exact.forget()
        return headers

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Let go of what was claimed: by now the engine has said itself what it has."""
        self._approx.on_done(request, decision, response)
        exact = request.attribute(TokenizedRequest)
        if exact is None or exact.endpoint is None:
            return
        endpoint = exact.endpoint
        heard = self._release(exact)
        if response.status is not None and True in heard:
            self._unheard.pop(endpoint, None)
        elif response.status is not None and False in heard:
            self._unheard[endpoint] = self._unheard.get(endpoint, 0) + 1

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Listen to an endpoint that is there."""
        self._approx.on_scraped(endpoint)
        self._followers.follow(endpoint)
        is_exact = self._trust(endpoint) is Trust.ALL
        if is_exact is not self._is_exact.get(endpoint):
            self._is_exact[endpoint] = is_exact
            self._log.info("prefix_matches", endpoint=endpoint.key, is_exact=is_exact, reason=self._reason(endpoint))

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Forget what it had; what its events have said goes with the connection."""
        self._approx.on_endpoint_lost(endpoint)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint."""
        self._approx.on_endpoint_removed(endpoint)
        self._followers.leave(endpoint)
        self._unheard.pop(endpoint, None)
        self._is_exact.pop(endpoint, None)

    def _trust(self, endpoint: Endpoint) -> Trust:
        if self._unheard.get(endpoint, 0) >= UNHEARD:
            return Trust.NOTHING
        return self._followers.trust(endpoint)

    def _reason(self, endpoint: Endpoint) -> str:
        if self._unheard.get(endpoint, 0) >= UNHEARD:
            return "its events do not name the blocks of requests that it serves"
        return _REASONS[self._followers.trust(endpoint)]

    def _claim(self, exact: TokenizedRequest, endpoint: Endpoint) -> None:
        if endpoint.has_left or self._followers.trust(endpoint) is Trust.NOTHING:
            return
        block_tokens = (
            self._index.block_tokens(endpoint)
            or endpoint.scraped.block_size_tokens
            or self._params.token_processor_config.block_size_tokens
        )
        exact.endpoint = endpoint
        exact.claims = [
            self._index.claim(endpoint, chain, block_tokens=block_tokens) for chain in exact.chains(block_tokens)
        ]

    def _release(self, exact: TokenizedRequest) -> list[bool | None]:
        """Let go of the claims; returns whether the engine has named what was new, for each."""
        claims, exact.claims = exact.claims, []
        return [self._index.release(exact.endpoint, claim) for claim in claims if exact.endpoint is not None]


_REASONS = {
    Trust.ALL: "all of its events were heard",
    Trust.PART: "not all of its events were heard",
    Trust.NOTHING: "its events are not heard",
}


class _ExactCollector(Collector):
    """Yields for each endpoint whether its matches are exact, read when the metrics are collected."""

    def __init__(self, is_exact: Mapping[Endpoint, bool]) -> None:
        self._is_exact = is_exact

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        exact = GaugeMetricFamily(
            "epp_prefix_is_exact", "1 where matches come from an endpoint's own events.", labels=["endpoint"]
        )
        for endpoint, is_exact in self._is_exact.items():
            exact.add_metric([endpoint.key], int(is_exact))
        yield exact
