"""``approx-prefix-cache-producer``: remembers which endpoint got which prompt beginning."""

from collections.abc import Sequence
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
)
from epp_plugins.prefix import PrefixIndex, chain
from epp_plugins.prefix.hashing import prompt_seed

BYTES_PER_TOKEN = 4
"""English text under common tokenizers; only decides how fine the index is, not whether a match is right."""


class Params(PluginParams):
    """Names and defaults of the Go pickers, in their units."""

    block_size_tokens: Annotated[int, Meta(ge=1)] = 16
    """Tokens in a prefix block."""
    max_prefix_tokens_to_match: Annotated[int, Meta(ge=1)] = 131_072
    """How much of a request's prompts is looked at, from their beginnings."""
    lru_capacity_per_server: Annotated[int, Meta(ge=1)] = 31_250
    """Blocks that an endpoint is believed to keep."""


class _Chains:
    """The request's block hashes, kept from the match until the decision."""

    __slots__ = ("chains",)

    def __init__(self, chains: Sequence[Sequence[int]]) -> None:
        self.chains = chains


class ApproxPrefixCacheProducer:
    """Attaches `PrefixMatches`, from an index of what this picker sent where.

    Approximate: it does not know what the engine really keeps, only what it was sent, up to a fixed capacity.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._block_bytes = params.block_size_tokens * BYTES_PER_TOKEN
        self._max_blocks = max(1, params.max_prefix_tokens_to_match // params.block_size_tokens)
        self._index: PrefixIndex[Endpoint] = PrefixIndex(params.lru_capacity_per_server)
        entries = context.metrics.gauge("epp_prefix_index_entries", "Prefix blocks kept, over all endpoints.")
        entries.set_function(lambda: len(self._index))

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach how much of the prompt each endpoint has; of several prompts, the sum."""
        if not request.prompts:
            return
        chains = self._chains(request)
        matched: dict[Endpoint, int] = {}
        for one in chains:
            for endpoint, blocks in self._index.match(one).items():
                matched[endpoint] = matched.get(endpoint, 0) + blocks
        request.attach(_Chains(chains))
        request.attach(PrefixMatches(matched_blocks=matched, total_blocks=sum(map(len, chains))))

    def _chains(self, request: InferenceRequest) -> Sequence[Sequence[int]]:
        """Return the block hashes of each prompt that has a whole block, up to the bound for all of them together."""
        seed = prompt_seed(request.model, request.cache_salt)
        left = self._max_blocks
        chains = []
        for prompt in request.prompts:
            one = chain(seed, prompt, block_bytes=self._block_bytes, max_blocks=left)
            if one:
                chains.append(one)
                left -= len(one)
        return chains

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Remember that the primary endpoint is about to have the prompt's blocks."""
        attached = request.attribute(_Chains)
        for one in attached.chains if attached else ():
            self._index.insert(decision.primary, one)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint: what comes back under its name has an empty cache."""
        self._index.remove(endpoint)
