"""A request as plugins see it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from epp.plugin.attributes import PrefixMatches
from epp.plugin.endpoint import Endpoint

A = TypeVar("A")

BYTES_PER_TOKEN = 4
"""Of English text under common tokenizers; token ids have as many."""


class ParsedBody(Struct, frozen=True, gc=False, kw_only=True):
    """What a parser read from a request's body."""

    model: str
    """Empty for an API whose requests name none."""
    stream: bool = False
    max_output_tokens: int | None = None
    """The most tokens that the client wants back; ``None`` when it leaves that to the engine."""
    cache_salt: str = ""
    """Prompts with different salts share no prefix cache."""
    prompt_cache_key: str = ""
    """The client's word for requests whose prompts begin alike."""
    prompts: Sequence[bytes] = ()
    """Canonical content of each prompt: two prompts that the engine would see with the same beginning begin alike."""
    has_token_ids: bool = False
    """The prompts are token ids, four bytes each in this machine's order, and without media."""
    has_media: bool = False
    """There are images or other media in the prompts."""
    is_rewritable: bool = False
    """The body is a JSON object whose top-level ``model`` may be replaced by another name."""


NOT_PARSED = ParsedBody(model="")


class InferenceRequest:
    """One request on its way to an endpoint.

    ``head`` has lower-case header names. ``model`` is what the endpoint will be asked for, ``client_model`` what the
    client asked for: they differ when the model is rewritten. ``objective`` and ``fairness_id`` are what its headers
    say, empty when they say nothing. ``body`` is what the endpoint will get, compressed or not as it came, and empty
    when not all of it is known; ``body_bytes`` is the size of what the client sent. The models and ``prompts`` are
    empty for a request without a body, or one whose path no parser claims. Once a request is routed, ``body`` and
    ``prompts`` are gone. ``prompt_tokens`` is an estimate. ``priority`` is higher for what is more important, and
    below 0 for what can be done without.
    """

    __slots__ = (
        "_attributes",
        "_first_producers",
        "body",
        "body_bytes",
        "cache_salt",
        "client_model",
        "fairness_id",
        "has_media",
        "has_token_ids",
        "head",
        "id",
        "max_output_tokens",
        "model",
        "objective",
        "priority",
        "prompt_cache_key",
        "prompt_tokens",
        "prompts",
        "stream",
    )

    def __init__(  # noqa: PLR0913 - one value each, given by name
        self,
        *,
        request_id: str,
        head: Mapping[str, str],
        parsed: ParsedBody,
        body_bytes: int,
        body: bytes = b"",
        model: str | None = None,
        objective: str = "",
        fairness_id: str = "",
    ) -> None:
        self.id = request_id
        self.head = head
        self.body = body
        self.body_bytes = body_bytes
        self.client_model = parsed.model
        self.model = parsed.model if model is None else model
        self.objective = objective
        self.priority = 0
        self.fairness_id = fairness_id
        self.stream = parsed.stream
        self.max_output_tokens = parsed.max_output_tokens
        self.cache_salt = parsed.cache_salt
        self.prompt_cache_key = parsed.prompt_cache_key
        self.prompts: Sequence[bytes] = parsed.prompts
        self.has_token_ids = parsed.has_token_ids
        self.has_media = parsed.has_media
        self.prompt_tokens = sum(map(len, parsed.prompts)) // BYTES_PER_TOKEN
        self._attributes: dict[tuple[type, str], object] = {}
        self._first_producers: dict[type, str] = {}

    def attach(self, attribute: object, *, producer: str = "") -> None:
        """Attach a typed value; a later one of the same type and producer replaces it.

        Producers call it, with their name where the configuration may have several of them. Who asks for no producer in
        particular gets what the first of them has attached.
        """
        kind = type(attribute)
        self._attributes[kind, producer] = attribute
        if self._first_producers.setdefault(kind, producer) == producer:
            self._attributes[kind, ""] = attribute

    def attribute(self, kind: type[A], *, producer: str = "") -> A | None:
        """Return the attached value of this type, or ``None`` when no producer, or not this one, attached one."""
        return self._attributes.get((kind, producer))  # type: ignore[return-value]

    def uncached_tokens(self, endpoint: Endpoint) -> int:
        """Return how many of the prompt's tokens an endpoint has to compute; all when nobody has matched the prompt."""
        matches = self.attribute(PrefixMatches)
        return self.prompt_tokens if matches is None else self.prompt_tokens - matches.matched_tokens.get(endpoint, 0)

    def forget_content(self) -> None:
        """Let body and prompts go: the request is routed, and its answer can take minutes."""
        self.body, self.prompts = b"", ()
