"""Typed values that producers attach to a request, for scorers, filters and other producers to read.

A plugin that reads one declares it in a class attribute ``consumes``, such as ``(PrefixMatches,)``; a producer declares
``produces``. When the configuration has no producer for what a plugin consumes, the attribute's default producer is
added. Of several producers of one kind, each but one has to be named by whoever consumes from it, in an attribute
``consumes_from`` such as ``{PrefixMatches: "cpu-prefix-cache-producer"}``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.plugin.endpoint import Endpoint

_SHOWN = 8
"""How many numbers a message shows that refuses them."""


class Attribute:
    """A kind of value that one producer makes and other plugins read."""

    default_producer: ClassVar[str | None] = None
    """Plugin type that is added when a consumer is configured and no producer is; ``None``: there is none to add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixMatches(Attribute):
    """How much of the request's prompts each endpoint is believed to have in its prefix cache."""

    default_producer: ClassVar[str | None] = "approx-prefix-cache-producer"

    matched_tokens: Mapping[Endpoint, int]
    """Tokens matched from the start of the prompt without a gap; an endpoint without a match is absent."""
    total_tokens: int
    """Tokens of the prompt, an estimate."""
    first_block: int | None = None
    """Names the beginning of the prompt, for pickers that want to agree on an endpoint for it; ``None`` for none."""

    def __post_init__(self) -> None:
        """Refuse a match that is longer than the prompt, and numbers that are not whole; raises `ValueError`."""
        tokens, total = self.matched_tokens.values(), self.total_tokens
        if not isinstance(sum(tokens, total), int) or total < 0:  # one float among integers makes their sum a float
            raise ValueError(f"{list(tokens)[:_SHOWN]} of {total} tokens: both are whole numbers from 0 on")
        if tokens and not 0 <= min(tokens) <= max(tokens) <= total:
            raise ValueError(f"matched {min(tokens)} to {max(tokens)} tokens of {total}")

    def ratio(self, endpoint: Endpoint) -> float:
        """Matched share of the prompt, 0..1; below 1 even for a prompt that is known, unless it ends with a block."""
        return self.matched_tokens.get(endpoint, 0) / self.total_tokens if self.total_tokens else 0.0


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """One prompt as its engine sees it."""

    token_ids: Sequence[int]
    media_from: int | None = None
    """Number of tokens before the first image or other media; from there on the ids say nothing. ``None``: no media."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens(Attribute):
    """The token ids of each of the request's prompts."""

    default_producer: ClassVar[str | None] = "token-producer"

    prompts: Sequence[TokenizedPrompt]
    """One for each of the request's prompts, in their order."""


@dataclass(frozen=True, slots=True)
class PeerEndpoint(Attribute):
    """The endpoint that does another part of the work on the request, once it is chosen; KV moves between the two.

    A profile handler attaches it between two profiles, so a plugin in the first one does not find it.
    """

    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPredictions(Attribute):
    """How fast each endpoint is expected to answer, in seconds; one that is absent is not known well enough."""

    default_producer: ClassVar[str | None] = "predicted-latency-producer"

    ttft_s: Mapping[Endpoint, float]
    tpot_s: Mapping[Endpoint, float]
    ttft_slo_s: float = 0.0
    """What the request asks for; 0 when it does not."""
    tpot_slo_s: float = 0.0

    def headrooms(self, endpoint: Endpoint) -> tuple[float, float] | None:
        """Return how much faster it is than asked for, to the first token and for each further one; ``None``: unknown.

        Negative for one that is slower, and for all where nothing is asked for.
        """
        if endpoint not in self.ttft_s or endpoint not in self.tpot_s:
            return None
        return self.ttft_slo_s - self.ttft_s[endpoint], self.tpot_slo_s - self.tpot_s[endpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEstimate(Attribute):
    """How long the answer is expected to be. Where it is attached, a request counts its tokens until its end."""

    default_producer: ClassVar[str | None] = "inflight-load-producer"

    tokens: int
    """Output tokens expected."""
