"""``prefix-based-pd-decider``: prompts are computed elsewhere when enough of them is not cached."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Endpoint, InferenceRequest, PluginParams, PrefixMatches

Tokens = Annotated[int, Meta(ge=0)]


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    non_cached_tokens: Tokens = 0
    """Least tokens that are not cached where the answer will be written; 0: never elsewhere."""
    prompt_tokens: Tokens = 0
    """Least tokens of the whole prompt."""


class PrefixBasedPdDecider:
    """Says yes when computing the rest of a prompt is enough work to move it."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params) -> None:
        self._params = params

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        """Tell whether prompt and rest are long enough; before the decoding endpoint is known nothing is cached."""
        least = self._params.non_cached_tokens
        if not least or request.prompt_tokens < max(least, self._params.prompt_tokens):
            return False
        rest = request.prompt_tokens if decode is None else request.uncached_tokens(decode)
        return rest >= least
