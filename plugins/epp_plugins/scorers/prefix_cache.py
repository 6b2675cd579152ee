"""``prefix-cache-scorer``: the endpoint that already has most of the prompt is best."""

from collections.abc import Sequence
from itertools import repeat
from typing import Annotated, ClassVar

from msgspec import Meta
from xxhash import xxh3_64_intdigest

from epp.plugin import Attribute, Endpoint, InferenceRequest, PluginParams, PrefixMatches

COMMON_SHARE = 4
"""What all but one in so many candidates have says nothing about them."""
FAIR_LOADS = 1.25
"""How many times the mean load an endpoint may have before its matches count less."""
SLACK_REQUESTS = 4
"""Beyond that; the first requests of an idle pool are no load."""
COLD_SCORE = 0.1
"""The most that a prompt which nobody has says for an endpoint."""


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    match_length_weight: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """How much the length of a match counts, beside the share of the prompt that it is."""
    match_length_scale_tokens: Annotated[int, Meta(ge=1)] = 8192
    """Length from which on a match counts fully."""
    prefix_match_info_producer_name: str | None = None
    """Whose matches count, where there are several producers."""
    producer: str | None = None
    """The same."""


class PrefixCacheScorer:
    """Rates by the share of the prompt that an endpoint is believed to have cached, from its start on.

    What nearly all candidates have does not decide between them. An endpoint that has more than its fair share of the
    load has its matches count less, so that a hot prefix spreads, and shrinks back when it cools. For a prompt that
    nobody has, each endpoint gets a small number that depends on both, so that several pickers agree without talking.
    """

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)
    is_bounded: ClassVar[bool] = True

    def __init__(self, params: Params) -> None:
        self._length_weight = params.match_length_weight
        self._scale_tokens = params.match_length_scale_tokens
        self._producer = params.prefix_match_info_producer_name or params.producer or ""
        self.consumes_from = {PrefixMatches: self._producer} if self._producer else {}
        """Attribute -> its producer's name."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate; all 0 when the prompt is unknown."""
        matches = request.attribute(PrefixMatches, producer=self._producer)
        if matches is None or not matches.total_tokens:
            return [0.0] * len(candidates)
        matched: list[float] = list(map(matches.matched_tokens.get, candidates, repeat(0)))
        without = matched.count(0)
        if without == len(matched):
            return _cold(matches.first_block, candidates)
        few = len(matched) // COMMON_SHARE
        common = sorted(matched)[few] if without <= few else 0
        if common:
            matched = [tokens if tokens > common else common for tokens in matched]  # noqa: FURB136 - thrice as fast
        total = matches.total_tokens
        if self._length_weight:
            matched = [self._with_length(tokens, total) for tokens in matched]
        requests = [(one.load.waiting or 0) + (one.load.running or 0) for one in candidates]
        fair = FAIR_LOADS * sum(requests) / len(candidates) + SLACK_REQUESTS
        most = int(fair)
        return [
            (tokens / total if count <= most else tokens / total * max(0.0, 2.0 - count / fair)) if tokens else 0.0
            for tokens, count in zip(matched, requests)  # noqa: B905 - both are as long as the candidates
        ]

    def _with_length(self, tokens: float, total_tokens: int) -> float:
        """Return how many of all tokens a match is worth, by its length too; rounded, that could be more than all."""
        length = min(1.0, tokens / self._scale_tokens) ** 2
        worth = self._length_weight * length * total_tokens + (1 - self._length_weight) * tokens
        return float(min(worth, total_tokens))


def _cold(first_block: int | None, candidates: Sequence[Endpoint]) -> list[float]:
    """Return a small number for each endpoint, the same in every picker: rendezvous hashing."""
    if first_block is None:
        return [0.0] * len(candidates)
    return [xxh3_64_intdigest(endpoint.key.encode(), first_block) / 2**64 * COLD_SCORE for endpoint in candidates]
