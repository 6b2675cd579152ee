"""A plugin's parameters as a person writes them: names and types in YAML's words, defaults, and what they mean."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect as forms

from epp.settings import field_docs

Number = forms.IntType | forms.FloatType
Items = forms.CollectionType | forms.TupleType


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter."""

    name: str
    """A dotted path, such as ``kvEventsConfig.topicFilter``, or ``rules[].label`` for what stands in a list."""
    type: str
    default: Any
    """As plain data; ``{}`` for a mapping, whose own parameters follow, ``None`` for a required one."""
    required: bool
    doc: str
    """What it means, on one line; empty when the source does not say."""


def parameters_of(struct: type[msgspec.Struct]) -> Sequence[Parameter]:
    """Return the parameters of a struct in their order, each mapping before what stands in it.

    Raises `TypeError` for a field whose type cannot be read from YAML.
    """
    return list(_parameters(struct, "", None, within=()))


def _parameters(
    struct: type[msgspec.Struct], path: str, defaults: object, *, within: tuple[type, ...]
) -> Iterator[Parameter]:
    """Yield the parameters below a path; ``defaults`` is what the struct is when left out, if it may be."""
    docs = _docs(struct)
    form = forms.type_info(struct)
    assert isinstance(form, forms.StructType)  # noqa: S101 - it is the form of a struct
    for field in form.fields:
        name = f"{path}{field.encode_name}"
        required = field.required and defaults is None
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        yield Parameter(
            name=name,
            type=yaml_type(field.type),
            default={} if isinstance(default, msgspec.Struct) else _plain(default),
            required=required,
            doc=" ".join(docs.get(field.name, "").split()),
        )
        for inner, suffix in _structs_in(field.type):
            if inner not in (*within, struct):
                nested = default if isinstance(default, inner) else None
                yield from _parameters(inner, f"{name}{suffix}.", nested, within=(*within, struct))


def yaml_type(form: forms.Type) -> str:  # noqa: PLR0911 - one line for each kind of type
    """Return a type in the words of a YAML file, with its bounds; ``null`` goes without saying."""
    match form:
        case forms.BoolType():
            return "boolean"
        case forms.IntType():
            return f"integer{_bounds(form)}"
        case forms.FloatType():
            return f"number{_bounds(form)}"
        case forms.LiteralType(values=values):
            return " | ".join(map(str, values))
        case forms.EnumType(cls=cls):
            return " | ".join(str(one.value) for one in cls)
        case forms.UnionType(types=alternatives):
            return " or ".join(yaml_type(one) for one in alternatives if not isinstance(one, forms.NoneType))
        case forms.CollectionType(item_type=item):
            return "list" if isinstance(item, forms.AnyType) else f"list of {yaml_type(item)}"
        case forms.DictType(value_type=value):
            return "mapping" if isinstance(value, forms.AnyType) else f"mapping of {yaml_type(value)}"
    return _WORDS.get(type(form), type(form).__name__.removesuffix("Type").lower())


_WORDS: Mapping[type[forms.Type], str] = {
    forms.StrType: "string",
    forms.StructType: "mapping",
    forms.TupleType: "list",
    forms.AnyType: "anything",
    forms.NoneType: "null",
}


def _bounds(form: Number) -> str:
    if form.ge is not None and form.le is not None:
        return f" {form.ge}..{form.le}"
    limits = ((">=", form.ge), (">", form.gt), ("<=", form.le), ("<", form.lt))
    return "".join(f" {sign} {limit}" for sign, limit in limits if limit is not None)


def _structs_in(form: forms.Type) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """Yield the structs of a field, each with what its path has behind the field's name."""
    match form:
        case forms.StructType(cls=cls):
            yield cls, ""
        case forms.UnionType(types=alternatives):
            for one in alternatives:
                yield from _structs_in(one)
        case forms.CollectionType(item_type=item):
            yield from ((cls, f"[]{suffix}") for cls, suffix in _structs_in(item))
        case forms.DictType(value_type=value):
            yield from ((cls, f".*{suffix}") for cls, suffix in _structs_in(value))


def _default(field: forms.Field) -> object:
    """Return what a field is when it is left out, ``None`` also for one that must not be."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default in (msgspec.NODEFAULT, msgspec.UNSET) else field.default


def _plain(value: object) -> object:
    return msgspec.to_builtins(value, enc_hook=str)


def _docs(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Return the lines under a struct's fields, inherited ones included."""
    docs: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        if issubclass(one, msgspec.Struct):
            docs |= field_docs(one)
    return docs
