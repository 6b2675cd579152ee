"""``approx-prefix-cache-producer``: remembers which endpoint got which prompt beginning."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import (
    Attribute,
    Decision,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PluginParams,
    PrefixMatches,
    Response,
)
from epp.plugin.request import BYTES_PER_TOKEN
from epp_plugins.prefix.believed import LEAST_BLOCK_TOKENS, BelievedCaches, Chains, Defaults
from epp_plugins.prefix.hashing import chain, prompt_seed
from epp_plugins.prefix.shelves import Claim

MEBIBYTE = 1024 * 1024
FIRST_ERROR_STATUS = 400

Blocks = Annotated[int, Meta(ge=1)]


class Params(PluginParams):
    """Names and defaults of the Go pickers, in their units; ``max_index_bytes`` is ours."""

    auto_tune: bool = True
    """Take block size and capacity from the engine's metrics page."""
    block_size_tokens: Blocks = LEAST_BLOCK_TOKENS
    """Tokens in a prefix block, where the engine is not asked or does not say; the Go pickers say 16, and use 64."""
    max_prefix_tokens_to_match: Annotated[int, Meta(ge=0)] = 131_072
    """How much of a request's prompts is looked at, from their beginnings; 0: `max_prefix_blocks_to_match` says."""
    max_prefix_blocks_to_match: Annotated[int, Meta(ge=0)] = 2048
    """The same in blocks, where the bound in tokens is 0; 0: everything."""
    lru_capacity_per_server: Blocks = 31_250
    """Blocks that an endpoint is believed to keep, where the engine is not asked or does not say."""
    max_index_bytes: Annotated[int, Meta(ge=MEBIBYTE)] = 256 * MEBIBYTE
    """Memory for all that is remembered."""


class _Request:
    """A request's chains, made when they are asked for, and what was claimed for it; kept until its answer begins."""

    __slots__ = ("_cache_key", "_chains", "_params", "_prompts", "_seed", "claims", "endpoint", "matched_ratio")

    def __init__(self, request: InferenceRequest, *, params: Params) -> None:
        self._prompts: Sequence[bytes] = request.prompts
        self._seed = prompt_seed(request.model, request.cache_salt)
        self._cache_key = request.prompt_cache_key
        self._params = params
        self._chains: dict[int, Chains] = {}
        self.claims: dict[Endpoint, Sequence[Claim]] = {}
        """Of those that are about to have its blocks."""
        self.endpoint: Endpoint | None = None
        """Computes the prompts."""
        self.matched_ratio = 0.0
        """How much of them it was expected to have."""

    def chains(self, block_tokens: int) -> Chains:
        """Return the block hashes of each prompt, up to the bound for all of them together."""
        chains = self._chains.get(block_tokens)
        if chains is None:
            left = _max_blocks(self._params, block_tokens)
            made = []
            for prompt in self._prompts:
                one = chain(self._seed, prompt, block_bytes=block_tokens * BYTES_PER_TOKEN, max_blocks=left)
                if one:
                    made.append(one)
                    left -= len(one)
            chains = self._chains[block_tokens] = made
        return chains

    def first_block(self, block_tokens: int) -> int | None:
        """Return what names the prompt's beginning: the client's key for it, or the hash of its first block."""
        if self._cache_key:
            return prompt_seed(self._cache_key)
        chains = self.chains(block_tokens)
        return chains[0][0] if chains else None

    def forget(self) -> None:
        """Let go of what is large: answers can take minutes."""
        self._prompts, self._chains = (), {}


class ApproxPrefixCacheProducer:
    """Attaches `PrefixMatches`, from an index of what this picker sent where.

    Approximate: it knows what an engine was sent, not what it keeps. It believes an engine's own numbers, notices
    restarts, and believes caches to be smaller whose engines report fewer hits than were predicted.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._params = params
        self._name = context.name
        self.max_memory_bytes = params.max_index_bytes
        """For `epp check-config`."""
        defaults = Defaults(
            block_tokens=params.block_size_tokens,
            capacity_blocks=params.lru_capacity_per_server,
            is_auto_tuned=params.auto_tune,
            max_bytes=params.max_index_bytes,
        )
        self._caches = BelievedCaches(defaults, context.log)
        entries = context.metrics.gauge("epp_prefix_index_entries", "Prefix blocks kept, over all endpoints.")
        entries.set_function(lambda: self._caches.entries)
        size = context.metrics.gauge("epp_prefix_index_bytes", "Memory that they take, by estimate.")
        size.set_function(lambda: self._caches.bytes_used)
        context.metrics.gauge_for_each(
            "epp_prefix_prediction_error_ratio",
            "Predicted minus observed cache hits.",
            label="endpoint",
            read=lambda: ((one.key, cache.truth.recent.error_ratio) for one, cache in self._caches.endpoints.items()),
        )
        context.metrics.gauge_for_each(
            "epp_prefix_capacity_blocks",
            "Blocks believed to be kept.",
            label="endpoint",
            read=lambda: ((one.key, cache.believed_blocks) for one, cache in self._caches.endpoints.items()),
        )

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach how much of the prompts each endpoint has; of several prompts, the sum."""
        if not request.prompts:
            return
        made = _Request(request, params=self._params)
        matched = self._caches.match(made.chains)
        request.attach(made, producer=self._name)
        request.attach(
            PrefixMatches(
                matched_tokens=matched,
                total_tokens=request.prompt_tokens,
                first_block=made.first_block(self._caches.of(candidates[0]).block_tokens),
            ),
            producer=self._name,
        )

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Believe that the primary endpoint is about to have the prompts' blocks, and who computes them for it."""
        made = request.attribute(_Request, producer=self._name)
        if made is None:
            return
        self._claim(made, decision.primary)
        if decision.prefill is not None:
            self._claim(made, decision.prefill)
        self._predict(request, made, decision.prefill or decision.primary)
        if len(decision.endpoints) == 1:
            made.forget()

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Confirm what was believed, or withdraw it: an answer that is an error computed nothing."""
        made = request.attribute(_Request, producer=self._name)
        if made is None or response.status is None:
            return None
        served = decision.named(response.served_by) or decision.primary
        if served not in made.claims:
            self._withdraw(request, made, decision.primary)
            self._claim(made, served)
            if decision.prefill is None:
                self._predict(request, made, served)
        for endpoint in list(made.claims):
            if response.status < FIRST_ERROR_STATUS and not endpoint.has_left:
                self._caches.confirm(endpoint, made.claims[endpoint])
            else:
                self._withdraw(request, made, endpoint)
        made.claims = {}
        made.forget()
        return None

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Compare with what the answer says was cached, where it says so."""
        made, usage = request.attribute(_Request, producer=self._name), response.usage
        if made is None or made.endpoint is None or usage is None or made.endpoint.has_left:
            return
        if usage.cached_tokens is None or not usage.prompt_tokens:
            return
        factor = self._caches.of(made.endpoint).truth.answered(
            matched=made.matched_ratio * usage.prompt_tokens,
            observed=usage.cached_tokens,
            prompt=usage.prompt_tokens,
        )
        self._caches.rescale(made.endpoint, factor)

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Take note of what an endpoint's page says about its cache."""
        self._caches.scraped(endpoint, endpoint.scraped)

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Forget what it had: an engine's cache does not outlive it."""
        self._caches.lost(endpoint)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint: what comes back under its name has an empty cache."""
        self._caches.forget(endpoint)

    def _claim(self, made: _Request, endpoint: Endpoint) -> None:
        if not endpoint.has_left:
            made.claims[endpoint] = self._caches.insert(endpoint, made.chains)

    def _predict(self, request: InferenceRequest, made: _Request, endpoint: Endpoint) -> None:
        """Note how much of the prompts an endpoint that computes them is expected to have."""
        if endpoint.has_left:
            return
        matches = request.attribute(PrefixMatches, producer=self._name)
        made.endpoint = endpoint
        made.matched_ratio = matches.ratio(endpoint) if matches is not None else 0.0
        prompt = request.prompt_tokens
        self._caches.of(endpoint).truth.sent(matched=made.matched_ratio * prompt, prompt=prompt)

    def _withdraw(self, request: InferenceRequest, made: _Request, endpoint: Endpoint) -> None:
        """Believe no more that an endpoint has the request's blocks because of it."""
        claims = made.claims.pop(endpoint, None)
        if claims is None or endpoint.has_left:
            return
        self._caches.withdraw(endpoint, claims)
        if endpoint is made.endpoint:
            prompt = request.prompt_tokens
            self._caches.of(endpoint).truth.refused(matched=made.matched_ratio * prompt, prompt=prompt)


def _max_blocks(params: Params, block_tokens: int) -> int:
    """Return how many blocks of a request are looked at."""
    if params.max_prefix_tokens_to_match:
        return max(1, params.max_prefix_tokens_to_match // block_tokens)
    return params.max_prefix_blocks_to_match or sys.maxsize
