"""``precise-prefix-cache-producer``: knows from the engines themselves which endpoint has which prompt beginning."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

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
from epp_plugins.kvevents.exact import ExactIndex, Outcome
from epp_plugins.kvevents.params import Params
from epp_plugins.kvevents.stream import Coverage
from epp_plugins.kvevents.tokenized import TokenizedRequest
from epp_plugins.producers.approx_prefix_cache import ApproxPrefixCacheProducer

try:
    from epp_plugins.kvevents.subscriptions import EventSockets, Subscriptions
except ModuleNotFoundError as error:
    raise ImportError("it needs the extra kv-events: pip install 'endpoint-picker[kv-events]'") from error

SILENT_REQUESTS = 8
"""In a row, that an endpoint has served without naming a block of theirs: then its events say nothing."""


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
            raise ConfigurationError([Problem("kvEventsConfig.discoverPods", message)])
        self._params = params
        self._name = context.name
        self.max_memory_bytes = params.approximate.max_index_bytes
        """For `epp check-config`; what engines say takes memory beside that."""
        self._log = context.log
        self._approximate = ApproxPrefixCacheProducer(params.approximate, context)
        self._index: ExactIndex[Endpoint] = ExactIndex(
            max_blocks=params.indexer_config.kv_block_index_config.in_memory_config.size
        )
        events = params.kv_events_config
        sockets = EventSockets(
            port=events.pod_discovery_config.socket_port,
            replay_port=events.pod_discovery_config.replay_socket_port,
            topic=events.topic_filter,
        )
        self._subscriptions = Subscriptions(self._index, sockets, context.log)
        self._silent: dict[Endpoint, int] = {}
        self._is_exact: dict[Endpoint, bool] = {}
        """As it was logged last."""
        blocks = context.metrics.gauge("epp_prefix_exact_blocks", "Prefix blocks that engines say they have.")
        blocks.set_function(lambda: len(self._index))
        context.metrics.gauge_for_each(
            "epp_prefix_is_exact",
            "1 where matches come from all of an endpoint's own KV events.",
            label="endpoint",
            read=lambda: ((one.key, int(self._coverage(one) is Coverage.ALL)) for one in self._is_exact),
        )

    async def run_in_background(self) -> None:
        """Listen to the engines."""
        await self._subscriptions.run()

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach how much of the prompts each endpoint has, by the best that is known of it."""
        self._approximate.produce(request, candidates)
        tokens = request.attribute(PromptTokens)
        approximate = request.attribute(PrefixMatches, producer=self._name)
        if tokens is None or approximate is None:
            return
        exact = TokenizedRequest(request, tokens.prompts, adapter=self._adapter_of(request, candidates))
        if not exact.tokens:
            return
        request.attach(exact)
        # The approximate index learns from the same matches: what is compared with an engine is what was predicted.
        request.attach(
            PrefixMatches(
                matched_tokens=self._matched(exact, candidates, approximate),
                total_tokens=approximate.total_tokens,
                first_block=approximate.first_block,
            ),
            producer=self._name,
        )

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Take it that the primary endpoint is about to have the prompts' blocks."""
        self._approximate.on_routed(request, decision)
        exact = request.attribute(TokenizedRequest)
        if exact is not None:
            self._expect(exact, decision.primary)
            if len(decision.endpoints) == 1:
                exact.forget()

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Move the blocks to the endpoint that has served; an answer that is an error computed nothing."""
        headers = self._approximate.on_response_head(request, decision, response)
        exact = request.attribute(TokenizedRequest)
        if exact is None or response.status is None:
            return headers
        served = decision.named(response.served_by)
        if response.is_error:
            exact.release(self._index)
        elif served is not None and served is not exact.endpoint:
            exact.release(self._index)
            self._expect(exact, served)
        exact.forget()
        return headers

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Expect the blocks no more, and note whether the engine has named them."""
        self._approximate.on_done(request, decision, response)
        exact = request.attribute(TokenizedRequest)
        if exact is None or exact.endpoint is None:
            return
        endpoint, outcomes = exact.endpoint, exact.release(self._index)
        if response.status is None or endpoint.has_left:
            return
        if Outcome.NAMED in outcomes:
            self._silent.pop(endpoint, None)
        elif Outcome.SILENT in outcomes:
            self._silent[endpoint] = self._silent.get(endpoint, 0) + 1

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Listen to an endpoint that is there."""
        self._approximate.on_scraped(endpoint)
        self._subscriptions.follow(endpoint)
        is_exact = self._coverage(endpoint) is Coverage.ALL
        if is_exact is not self._is_exact.get(endpoint):
            self._is_exact[endpoint] = is_exact
            reason = self._reason(endpoint)
            self._log.info("prefix_source_changed", endpoint=endpoint.key, is_exact=is_exact, reason=reason)

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Forget what it had; what its events have said goes with the connection."""
        self._approximate.on_endpoint_lost(endpoint)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint."""
        self._approximate.on_endpoint_removed(endpoint)
        self._subscriptions.leave(endpoint)
        self._silent.pop(endpoint, None)
        self._is_exact.pop(endpoint, None)

    def _matched(
        self, exact: TokenizedRequest, candidates: Sequence[Endpoint], approximate: PrefixMatches
    ) -> dict[Endpoint, int]:
        """Return matched tokens by endpoint, in the estimated tokens that everything else counts in."""
        scale = approximate.total_tokens / exact.tokens
        found = exact.matched(self._index)
        matched: dict[Endpoint, int] = {}
        for endpoint in candidates:
            counts = round(found.get(endpoint, 0) * scale), approximate.matched_tokens.get(endpoint, 0)
            coverage = self._coverage(endpoint)
            if coverage is Coverage.ALL and not exact.has_media:
                count = counts[0]
            else:
                count = counts[1] if coverage is Coverage.NOTHING else max(counts)
            if count:
                matched[endpoint] = count
        return matched

    def _adapter_of(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> str:
        """Return the request's LoRA adapter: its model, where an engine says that this is one. Empty for none."""
        model = request.model
        adapters = (endpoint.load.adapters for endpoint in candidates)
        is_one = self._index.has_adapter(model) or any(
            one is not None and model in one.running | one.waiting for one in adapters
        )
        return model if is_one else ""

    def _coverage(self, endpoint: Endpoint) -> Coverage:
        if self._silent.get(endpoint, 0) >= SILENT_REQUESTS:
            return Coverage.NOTHING
        return self._subscriptions.coverage(endpoint)

    def _reason(self, endpoint: Endpoint) -> str:
        if self._silent.get(endpoint, 0) >= SILENT_REQUESTS:
            return "its events do not name the blocks of requests that it serves"
        return _REASONS[self._subscriptions.coverage(endpoint)]

    def _expect(self, exact: TokenizedRequest, endpoint: Endpoint) -> None:
        """Take it that an endpoint is about to have the blocks.

        Also where its events are not believed any more: only by them it can show that they have become true.
        """
        if endpoint.has_left or self._subscriptions.coverage(endpoint) is Coverage.NOTHING:
            return
        block_tokens = (
            self._index.block_tokens(endpoint)
            or endpoint.scraped.block_size_tokens
            or self._params.token_processor_config.block_size_tokens
        )
        exact.expect(self._index, endpoint, block_tokens=block_tokens)


_REASONS = {
    Coverage.ALL: "all of its events were heard",
    Coverage.PART: "not all of its events were heard",
    Coverage.NOTHING: "its events are not heard",
}
