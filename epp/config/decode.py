"""Untyped YAML values into structs, collecting every problem instead of raising at the first."""

import difflib
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from epp.plugin import Problem

S = TypeVar("S", bound=msgspec.Struct)


def decode(kind: type[S], raw: object, path: str, problems: list[Problem]) -> S | None:
    """Return ``raw`` as a ``kind``; ``None`` when a required field has no usable value.

    Problems are appended with their path, such as ``plugins[2].parameters.path``. A wrong value is replaced by the
    field's default, so that the rest can still be looked at. ``null`` counts as left out.
    """
    if not isinstance(raw, dict):
        problems.append(Problem(path, f"must be a mapping, not {describe(raw)}"))
        raw = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in fields:
            problems.append(Problem(here, f"unknown field{did_you_mean(str(key), fields)}"))
        elif value is not None:
            decoded = _decode_value(fields[key].type, value, here, problems)
            if decoded is not msgspec.UNSET:
                values[fields[key].name] = decoded
    missing = [name for name, field in fields.items() if field.required and field.name not in values]
    problems.extend(Problem(f"{path}.{name}", "is required") for name in missing if raw.get(name) is None)
    return None if missing else kind(**values)


def _decode_value(kind: Any, value: object, path: str, problems: list[Problem]) -> object:  # noqa: ANN401 - a type form
    """Return the decoded value, or ``UNSET`` after noting why there is none."""
    struct = _struct_of(kind)
    if struct is not None:
        return decode(struct, value, path, problems)
    if typing.get_origin(kind) is list:
        if not isinstance(value, list):
            problems.append(Problem(path, f"must be a list, not {describe(value)}"))
            return msgspec.UNSET
        (item,) = typing.get_args(kind)
        decoded = [_decode_value(item, element, f"{path}[{i}]", problems) for i, element in enumerate(value)]
        return [element for element in decoded if element is not msgspec.UNSET]
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(Problem(path, _lower_first(str(error))))
        return msgspec.UNSET


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type form
    """Return the struct in ``Struct`` or ``Struct | None``."""
    alternatives = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    structs = [one for one in alternatives if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return structs[0] if structs else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that helps with a name that is not known."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1) or [one for one in known if one.startswith(word)]
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known: {', '.join(known)}" if known else ""


def describe(value: object) -> str:
    """Return what a YAML value is, in YAML's words."""
    match value:
        case None:
            return "empty"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "a mapping"


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
