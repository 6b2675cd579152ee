"""``context-length-aware``: endpoints are labelled with the prompt lengths that they are for."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.plugin import Endpoint, InferenceRequest, PluginParams, PromptTokens

NO_LABEL, BAD_LABEL = 0.5, 0.0
OUTSIDE, INSIDE = 0.3, 0.7
NARROW, ROOM = 0.7, 0.3
WIDTH_TOKENS, DISTANCE_TOKENS = 10_000, 1000


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    label: str = "llm-d.ai/context-length-range"
    """Has the range in tokens, such as ``0-4096``."""
    enable_filtering: bool = False
    """Leave out endpoints whose range the prompt is not in."""


@dataclass(frozen=True, slots=True)
class _Range:
    least: int
    most: int

    def __contains__(self, tokens: int) -> bool:
        return self.least <= tokens <= self.most


class ContextLengthAware:
    """Rates the narrowest range that a prompt is in as best, and further away ones the lower. Is a filter too.

    Lengths are those that `token-producer` found, where it is configured, else estimates.
    """

    def __init__(self, params: Params) -> None:
        self._label = params.label
        self._filters = params.enable_filtering

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those without a label, and those whose range the prompt is in; all when there is none."""
        if not self._filters:
            return candidates
        tokens = _tokens_of(request)
        kept = [endpoint for endpoint in candidates if self._may_have(endpoint, tokens)]
        return kept or candidates

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate; 0.5 without a label, 0 for one that makes no sense."""
        tokens = _tokens_of(request)
        return [self._rate(endpoint, tokens) for endpoint in candidates]

    def _may_have(self, endpoint: Endpoint, tokens: int) -> bool:
        text = endpoint.labels.get(self._label)
        if text is None:
            return True
        lengths = _range_of(text)
        return lengths is not None and tokens in lengths

    def _rate(self, endpoint: Endpoint, tokens: int) -> float:
        text = endpoint.labels.get(self._label)
        if text is None:
            return NO_LABEL
        lengths = _range_of(text)
        return BAD_LABEL if lengths is None else _rate(lengths, tokens)


def _rate(lengths: _Range, tokens: int) -> float:
    if tokens not in lengths:
        distance = max(lengths.least - tokens, tokens - lengths.most)
        return OUTSIDE / (1 + distance / DISTANCE_TOKENS)
    width = lengths.most - lengths.least
    if not width:
        return 1.0
    return OUTSIDE + INSIDE * (NARROW / (1 + width / WIDTH_TOKENS) + ROOM * (lengths.most - tokens) / width)


def _range_of(text: str) -> _Range | None:
    """Return the range of a label like ``0-4096``; ``None`` for one that makes no sense."""
    least, separator, most = text.partition("-")
    if not separator or not (least.isdecimal() and most.isdecimal()) or int(least) > int(most):
        return None
    return _Range(int(least), int(most))


def _tokens_of(request: InferenceRequest) -> int:
    tokens = request.attribute(PromptTokens)
    return request.prompt_tokens if tokens is None else sum(len(prompt.token_ids) for prompt in tokens.prompts)
