"""What is believed of every endpoint's cache: its block size, how many blocks it keeps, and which."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from epp.plugin import Endpoint, Load
from epp_plugins.prefix.index import PrefixIndex
from epp_plugins.prefix.shelves import Claim
from epp_plugins.prefix.truth import LEAST_SCALE, CacheTruth

LEAST_BLOCK_TOKENS = 32
"""An engine's smaller blocks are taken together: finer matches do not route better, and cost as much as parsing."""
Chains = Sequence[Sequence[int]]
"""Block hashes of each prompt of a request."""


@dataclass(slots=True)
class Believed:
    """What is believed of one endpoint's cache."""

    block_tokens: int
    capacity_blocks: int
    """As its engine says, or the configuration."""
    scale: float = 1.0
    """What hits have shown of that."""
    keeps_prefixes: bool = True
    truth: CacheTruth = field(default_factory=CacheTruth)
    warned_of: str = ""

    @property
    def believed_blocks(self) -> int:
        """How many blocks it is believed to keep."""
        return max(1, int(self.capacity_blocks * self.scale))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is believed where an engine does not say."""

    block_tokens: int
    capacity_blocks: int
    is_auto_tuned: bool
    """Whether engines are asked."""
    max_bytes: int
    """Of all indexes together."""


class BelievedCaches:
    """One index for each block size: chains of different sizes have nothing to say to each other."""

    def __init__(self, defaults: Defaults, log: FilteringBoundLogger) -> None:
        self._defaults = defaults
        self._log = log
        self._indexes: dict[int, PrefixIndex[Endpoint]] = {}
        self._believed: dict[Endpoint, Believed] = {}

    @property
    def entries(self) -> int:
        """The number of (block, endpoint) entries."""
        return sum(map(len, self._indexes.values()))

    @property
    def bytes_used(self) -> int:
        """An estimate of the memory that the indexes take."""
        return sum(index.bytes_used for index in self._indexes.values())

    @property
    def endpoints(self) -> dict[Endpoint, Believed]:
        """What is believed, by endpoint."""
        return self._believed

    def match(self, chains_of: Callable[[int], Chains]) -> dict[Endpoint, int]:
        """Return matched tokens by endpoint; ``chains_of`` gives a request's chains for a block size in tokens."""
        matched: dict[Endpoint, int] = {}
        for block_tokens, index in self._indexes.items():
            for chain in chains_of(block_tokens):
                for endpoint, blocks in index.match(chain).items():
                    matched[endpoint] = matched.get(endpoint, 0) + blocks * block_tokens
        return matched

    def insert(self, endpoint: Endpoint, chains_of: Callable[[int], Chains]) -> Sequence[Claim]:
        """Believe that an endpoint is about to have a request's blocks."""
        believed = self.of(endpoint)
        if not believed.keeps_prefixes:
            return ()
        index = self._index(believed.block_tokens)
        return [claim for chain in chains_of(believed.block_tokens) if (claim := index.insert(endpoint, chain))]

    def confirm(self, endpoint: Endpoint, claims: Sequence[Claim]) -> None:
        """Take note that an endpoint has computed them."""
        index = self._index(self.of(endpoint).block_tokens)
        for claim in claims:
            index.confirm(claim)

    def withdraw(self, endpoint: Endpoint, claims: Sequence[Claim]) -> None:
        """Take note that an endpoint has not computed them."""
        index = self._index(self.of(endpoint).block_tokens)
        for claim in claims:
            index.withdraw(claim)

    def of(self, endpoint: Endpoint) -> Believed:
        """Return what is believed of an endpoint."""
        believed = self._believed.get(endpoint)
        if believed is None:
            believed = Believed(self._defaults.block_tokens, self._defaults.capacity_blocks)
            self._believed[endpoint] = believed
        return believed

    def scraped(self, endpoint: Endpoint, load: Load) -> None:
        """Take note of an endpoint's page: another process, another size, hits and misses."""
        believed = self.of(endpoint)
        if believed.truth.is_restarted(load):
            self._forget_blocks(endpoint)
            believed.scale = 1.0
            believed.truth.begin_again(load)
            self._warn(endpoint, "restarted")
        if self._defaults.is_auto_tuned:
            self._tune(endpoint, load)
        elif load.block_size_tokens not in {None, believed.block_tokens}:
            self._warn(endpoint, "block size differs", engine=load.block_size_tokens, believed=believed.block_tokens)
        self.rescale(endpoint, believed.truth.counted(load))

    def rescale(self, endpoint: Endpoint, factor: float) -> None:
        """Believe an endpoint's cache to be larger or smaller by a factor."""
        if factor == 1.0:
            return
        believed = self.of(endpoint)
        index = self._index(believed.block_tokens)
        believed.scale = min(1.0, max(LEAST_SCALE, believed.scale * factor))
        index.resize(endpoint, believed.believed_blocks)
        if factor < 1 and not believed.truth.recent.observed:
            self._forget_blocks(endpoint)
            self._warn(endpoint, "prefix caching seems to be off")

    def lost(self, endpoint: Endpoint) -> None:
        """Forget what an endpoint had: its process is gone."""
        if endpoint in self._believed:
            self._forget_blocks(endpoint)
            self._believed[endpoint].truth.begin_again(Load())

    def forget(self, endpoint: Endpoint) -> None:
        """Forget an endpoint."""
        self._forget_blocks(endpoint)
        self._believed.pop(endpoint, None)

    def _tune(self, endpoint: Endpoint, load: Load) -> None:
        """Believe what the engine says about its cache."""
        believed = self.of(endpoint)
        engine_tokens = load.block_size_tokens or believed.block_tokens
        block_tokens = engine_tokens * math.ceil(LEAST_BLOCK_TOKENS / engine_tokens)
        keeps = load.prefix_caching is not False
        if (block_tokens, keeps) != (believed.block_tokens, believed.keeps_prefixes):
            self._forget_blocks(endpoint)
            believed.block_tokens, believed.keeps_prefixes = block_tokens, keeps
            if not keeps:
                self._warn(endpoint, "prefix caching is off")
        capacity = believed.capacity_blocks
        if load.block_count and load.block_size_tokens:
            capacity = max(1, load.block_count * load.block_size_tokens // block_tokens)
        if capacity != believed.capacity_blocks:
            believed.capacity_blocks = capacity
            self._index(block_tokens).resize(endpoint, believed.believed_blocks)

    def _forget_blocks(self, endpoint: Endpoint) -> None:
        for block_tokens, index in list(self._indexes.items()):
            index.remove(endpoint)
            if not index.has_endpoints:
                del self._indexes[block_tokens]
        self._share_room()

    def _share_room(self) -> None:
        for index in self._indexes.values():
            index.max_bytes = self._defaults.max_bytes // len(self._indexes)

    def _index(self, block_tokens: int) -> PrefixIndex[Endpoint]:
        index = self._indexes.get(block_tokens)
        if index is None:
            index = PrefixIndex(capacity_of=self._capacity_of, max_bytes=self._defaults.max_bytes)
            self._indexes[block_tokens] = index
            self._share_room()
        return index

    def _capacity_of(self, endpoint: Endpoint) -> int:
        return self.of(endpoint).believed_blocks

    def _warn(self, endpoint: Endpoint, reason: str, **details: object) -> None:
        """Log a reason once, until there is another one."""
        believed = self.of(endpoint)
        if believed.warned_of != reason or reason == "restarted":
            believed.warned_of = reason
            self._log.warning("prefix_cache", endpoint=endpoint.key, reason=reason, **details)
