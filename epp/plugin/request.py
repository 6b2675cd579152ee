"""A request as plugins see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBody:
    """What a parser read from a request's body."""

    model: str
    stream: bool = False
    prompts: Sequence[bytes] = ()
    """Canonical content of each prompt: two prompts that the engine would see with the same beginning begin alike."""


class InferenceRequest:
    """One request on its way to an endpoint.

    ``head`` has lower-case header names. ``model`` is empty and ``prompts`` is empty for a request without a body, or
    one whose path no parser claims.
    """

    __slots__ = ("_attributes", "body_bytes", "head", "id", "model", "prompts", "stream")

    def __init__(self, *, request_id: str, head: Mapping[str, str], parsed: ParsedBody | None, body_bytes: int) -> None:
        self.id = request_id
        self.head = head
        self.body_bytes = body_bytes
        self.model = parsed.model if parsed else ""
        self.stream = parsed.stream if parsed else False
        self.prompts: Sequence[bytes] = parsed.prompts if parsed else ()
        self._attributes: dict[type, object] = {}

    def attach(self, attribute: object) -> None:
        """Attach a typed value; a later one of the same type replaces it. Producers call it."""
        self._attributes[type(attribute)] = attribute

    def attribute(self, kind: type[A]) -> A | None:
        """Return the attached value of this type, or ``None`` when no producer attached one."""
        return cast("A | None", self._attributes.get(kind))
