"""A request's JSON object, and the fields that every API has under some name."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from epp.plugin import DropReason, Rejection

MAX_VALUES = 2_000_000
"""Values in one member of a request: more than any prompt has, and half a second of work."""
# As in the picker itself, which a plugin does not import.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Members(Protocol):
    """An object's members by name."""

    def get(self, name: str, /) -> Any:  # noqa: ANN401 - JSON is anything
        """Return a member, ``None`` when there is none."""
        ...


_MEMBERS = (
    *("model", "stream", "cache_salt", "prompt_cache_key", "max_tokens", "max_completion_tokens", "max_output_tokens"),
    *("messages", "tools", "functions", "documents", "chat_template", "chat_template_kwargs", "mm_processor_kwargs"),
    *("reasoning_effort", "system", "prompt", "input", "instructions", "items", "token_ids", "features"),
    *("sampling_params", "extra_key", "input_ids", "text", "image_data", "video_data", "audio_data"),
)
"""All that a parser asks for; others are passed over, which costs next to nothing."""
_ABSENT = msgspec.Raw()
_Known = msgspec.defstruct("_Known", [(name, msgspec.Raw, _ABSENT) for name in _MEMBERS])


class Document:
    """A request's JSON object, whose members are decoded when they are asked for: most never are."""

    def __init__(self, known: msgspec.Struct) -> None:
        self._known = known
        self._decoded: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a member of this name."""
        return getattr(self._known, name) is not _ABSENT

    def get(self, name: str) -> Any:  # noqa: ANN401 - JSON is anything
        """Return a member, ``None`` when there is none; raises `Rejection` (400) for one that cannot be decoded.

        Raises `AttributeError` for a name that is not in the list above.
        """
        raw = getattr(self._known, name)
        if raw is _ABSENT:
            return None
        if name not in self._decoded:
            self._decoded[name] = self._decode(name, bytes(raw))
        return self._decoded[name]

    def those(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the members of these names that are there, and are not empty; raises as `get` does."""
        known = self._known
        return {name: value for name in names if getattr(known, name) is not _ABSENT and (value := self.get(name))}

    def _decode(self, name: str, raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
        if len(raw) > MAX_VALUES and raw.count(b",") > MAX_VALUES and _STRING.sub(b"", raw).count(b",") > MAX_VALUES:
            raise invalid(f"`{name}` has more than {MAX_VALUES} values", name)
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(f"`{name}` is not valid JSON: {error}", name) from error


def read_document(body: bytes) -> Document:
    """Return the body's JSON object; raises `Rejection` (400) when it is none."""
    if not body:
        raise invalid("the request has no body; send a JSON object")
    try:
        return Document(msgspec.json.decode(body, type=_Known))
    except msgspec.ValidationError as error:
        raise invalid("the body must be a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the body is not valid JSON: {error}") from error


def read_model(document: Document) -> str:
    """Return the model's name; raises `Rejection` (400) without one."""
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("`model` is required: the name of the model to use, as a string", "model")
    return model


def read_optional_model(document: Document) -> str:
    """Return the model's name, empty when there is none; raises `Rejection` (400) for one that is no string."""
    return read_model(document) if document.get("model") is not None else ""


def read_tokens_wanted(members: Members, *names: str) -> int | None:
    """Return a number of tokens, under the first name that has a sensible one."""
    for name in names:
        value = members.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def read_object(members: Members, name: str) -> Mapping[str, Any]:
    """Return a member that is an object, an empty one for anything else."""
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def read_text(members: Members, name: str) -> str:
    """Return a member that is a string, an empty one for anything else."""
    value = members.get(name)
    return value if isinstance(value, str) else ""


def invalid(message: str, param: str | None = None) -> Rejection:
    """Return a refusal (400) that says what is wrong, and where."""
    return Rejection(DropReason.BAD_REQUEST, message, param=param)
