"""A request's prompts as tokens, on their way to an endpoint."""

from collections.abc import Callable, Sequence

from epp.plugin import Endpoint, InferenceRequest, TokenizedPrompt
from epp_plugins.kvevents.exact import ExactIndex, ExpectedBlocks, Outcome, token_chain


class TokenizedRequest:
    """A request's prompts as tokens, and the blocks that an endpoint is expected to have because of it."""

    __slots__ = ("_adapter", "_chains", "_expected", "_model", "_prompts", "_salt", "endpoint")

    def __init__(self, request: InferenceRequest, prompts: Sequence[TokenizedPrompt], *, adapter: str) -> None:
        self._prompts = prompts
        self._model = request.model
        self._adapter = adapter
        self._salt = request.cache_salt
        self._chains: dict[int, list[list[int]]] = {}
        self._expected: list[ExpectedBlocks] = []
        self.endpoint: Endpoint | None = None
        """Where they are expected; ``None``: nowhere."""

    @property
    def tokens(self) -> int:
        """Tokens of all prompts."""
        return sum(len(prompt.token_ids) for prompt in self._prompts)

    @property
    def has_media(self) -> bool:
        """Tell whether only their beginnings are known."""
        return any(prompt.media_from is not None for prompt in self._prompts)

    def matched(self, index: ExactIndex[Endpoint]) -> dict[Endpoint, int]:
        """Return matched tokens by endpoint. An engine always computes the last token of a prompt, so never all."""
        matched: dict[Endpoint, int] = {}
        for i, prompt in enumerate(self._prompts):
            for endpoint, tokens in index.match(self._findable(i, len(prompt.token_ids))).items():
                matched[endpoint] = matched.get(endpoint, 0) + tokens
        return matched

    def expect(self, index: ExactIndex[Endpoint], endpoint: Endpoint, *, block_tokens: int) -> None:
        """Take it that an endpoint is about to have the prompts' blocks."""
        self.endpoint = endpoint
        self._expected = [
            index.expect(endpoint, chain, block_tokens=block_tokens) for chain in self._all_chains(block_tokens)
        ]

    def release(self, index: ExactIndex[Endpoint]) -> set[Outcome]:
        """Expect them no more; returns what the endpoint has said of them meanwhile, nothing where it was not asked.

        Nor where the model has turned out to be an adapter since: then others were to be expected.
        """
        endpoint, self.endpoint = self.endpoint, None
        expected, self._expected = self._expected, []
        outcomes = {index.release(endpoint, one) for one in expected} if endpoint is not None else set()
        return outcomes if self._adapter or not index.has_adapter(self._model) else set()

    def forget(self) -> None:
        """Let go of the prompts: answers can take minutes."""
        self._prompts, self._chains = (), {}

    def _findable(self, i: int, tokens: int) -> Callable[[int], Sequence[int]]:
        return lambda block_tokens: self._all_chains(block_tokens)[i][: max(0, tokens - 1) // block_tokens]

    def _all_chains(self, block_tokens: int) -> list[list[int]]:
        """Return the chain of each prompt, up to its first media."""
        chains = self._chains.get(block_tokens)
        if chains is None:
            chains = [
                token_chain(
                    prompt.token_ids[: prompt.media_from],
                    block_tokens=block_tokens,
                    adapter=self._adapter,
                    salt=self._salt,
                )
                for prompt in self._prompts
            ]
            self._chains[block_tokens] = chains
        return chains
