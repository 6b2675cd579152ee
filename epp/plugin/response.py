"""The answer to a request, as far as the gateway shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as the engine reports them; ``None``: it did not say."""

    prompt_tokens: int | None = None
    """All of the prompt's tokens, those found in the cache included."""
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens that were found in the engine's prefix cache."""


@dataclass(slots=True, kw_only=True)
class Response:
    """What is known of an answer so far. Times are seconds since the decision; ``None``: not seen (yet)."""

    status: int | None = None
    """HTTP status, ``None`` before the answer's headers, or when they make no sense."""
    head: Mapping[str, str] = field(default_factory=dict)
    """Lower-case header names, ``:status`` included."""
    served_by: str | None = None
    """``ip:port`` that the gateway says has served it, in the metadata ``x-gateway-destination-endpoint-served``."""
    usage: Usage | None = None
    """Only where the gateway shows the response's body."""
    first_byte_s: float | None = None
    first_chunk_s: float | None = None
    """The first piece of body; only where the gateway shows it."""
    last_chunk_s: float | None = None
    """The last one."""
    chunks: int = 0
    """How many there were; of a stream, about as many as tokens."""
    duration_s: float | None = None
    is_complete: bool = False
    """The gateway showed the end of the answer; without a view of its body or trailers it never does."""

    @property
    def is_error(self) -> bool:
        """Tell whether the endpoint answered with anything but 2xx."""
        return self.status is not None and not 200 <= self.status < 300  # noqa: PLR2004 - HTTP's class of successes
