"""``epp plugins``: which plugin types are installed, what each of them is, and what it can be told.

Classes are looked at and never built: what a plugin only is once it is built, by an attribute that its class does not
mention, is not seen here.
"""

import enum
import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any

import msgspec

from epp.parameters import Parameter, parameters_of
from epp.plugin import ConfigurationError, FlowControlPolicy, PluginParams
from epp.registry import Registry
from epp.workshop import Role

NOTHING = "-"


class Form(enum.StrEnum):
    """How the catalogue is written."""

    TABLE = "table"
    JSON = "json"


class PluginType(msgspec.Struct, frozen=True, kw_only=True, rename={"class_path": "class"}):
    """One installed plugin type."""

    type: str
    roles: Sequence[str] = ()
    """Nouns; none for a plugin that is accepted and never called."""
    class_path: str
    """Module and class, as in the entry point."""
    distribution: str
    """What was installed with it; empty when that is not known, as is ``version``."""
    version: str
    problem: str | None = None
    """Why its class cannot be had; its roles are then not known."""


class Description(PluginType, frozen=True, kw_only=True, rename={"class_path": "class"}):
    """All that can be told of one."""

    doc: str
    """The first paragraph of its class' docstring."""
    parameters: Sequence[Parameter]


def catalogue(registry: Registry, type_name: str | None, form: Form) -> str:
    """Return the list of all plugin types, or what one of them is; raises `ConfigurationError` for an unknown one."""
    found = plugin_types(registry) if type_name is None else description(registry, type_name)
    if form is Form.JSON:
        return msgspec.json.format(msgspec.json.encode(found)).decode()
    return _page(found) if isinstance(found, Description) else _list(found)


def plugin_types(registry: Registry) -> Sequence[PluginType]:
    """Return all types by name, those that cannot be imported included."""
    return [_listed(registry, entry) for _, entry in sorted(registry.types.items())]


def description(registry: Registry, type_name: str) -> Description:
    """Return what one type is; raises `ConfigurationError` when it is not installed or cannot be imported."""
    kind = _load(registry, type_name)
    try:
        params = params_of(kind)
        parameters = parameters_of(params) if params else []
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError([f"the parameters of `{type_name}` cannot be told: {error}"]) from error
    entry = registry.types[type_name]
    return Description(
        type=type_name,
        roles=roles_of(kind),
        doc=" ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()),
        parameters=parameters,
        **_origin(entry),
    )


def roles_of(kind: type) -> Sequence[str]:
    """Return the nouns of everything that plugins of a class are."""
    nouns = [role.noun for role in Role if all(_has(kind, member) for member in role.members)]
    policy = getattr(kind, "flow_control_policy", None)
    return [*nouns, policy.value] if isinstance(policy, FlowControlPolicy) else nouns


def _listed(registry: Registry, entry: EntryPoint) -> PluginType:
    try:
        return PluginType(type=entry.name, roles=roles_of(_load(registry, entry.name)), **_origin(entry))
    except ConfigurationError as error:
        return PluginType(type=entry.name, problem=_reason(error), **_origin(entry))


def _load(registry: Registry, type_name: str) -> type:
    """Return a type's class; raises `ConfigurationError` whatever its module raises."""
    try:
        return registry.load(type_name)
    except ConfigurationError as error:
        raise ConfigurationError([problem.message for problem in error.problems]) from error.__cause__
    except Exception as error:
        raise ConfigurationError([f"plugin type `{type_name}` cannot be loaded: {error!r}"]) from error


def _reason(error: ConfigurationError) -> str:
    """Return why a class cannot be had, on one line; the type's name stands beside it."""
    match error.__cause__:
        case None:
            reason = str(error)
        case ImportError() | AttributeError() as cause:
            reason = f"cannot be loaded: {cause}"
        case cause:
            reason = f"cannot be loaded: {cause!r}"
    return " ".join(reason.split())


def _origin(entry: EntryPoint) -> dict[str, str]:
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
    return {"class_path": entry.value, "distribution": name, "version": version}


def _has(kind: type, member: str) -> bool:
    """Tell whether a class has a member, or says that its instances have it."""
    return hasattr(kind, member) or any(member in inspect.get_annotations(one) for one in kind.__mro__)


def params_of(kind: type) -> type[PluginParams] | None:
    """Return the struct that the constructor takes; raises `NameError` for an annotation that means nothing."""
    for parameter in inspect.signature(kind, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, PluginParams):
            return parameter.annotation
    return None


def _list(types: Sequence[PluginType]) -> str:
    rows = [(one.type, _from(one), one.problem or _nouns(one)) for one in types]
    return _table(("TYPE", "FROM", "IS A"), rows)


def _page(one: Description) -> str:
    head = [("type", one.type), ("is a", _nouns(one)), ("class", one.class_path), ("from", _from(one))]
    rows = [(each.name, each.type, _default(each), each.doc) for each in one.parameters]
    table = _table(("PARAMETER", "TYPE", "DEFAULT", "MEANING"), rows) if rows else "It takes no parameters."
    return "\n\n".join(part for part in ("\n".join(f"{key}: {value}" for key, value in head), one.doc, table) if part)


def _from(one: PluginType) -> str:
    return f"{one.distribution} {one.version}" if one.distribution else NOTHING


def _nouns(one: PluginType) -> str:
    return ", ".join(one.roles) or NOTHING


def _default(one: Parameter) -> str:
    """Return the default as it would be written in a file."""
    return "required" if one.required else msgspec.json.encode(one.default).decode()


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; the last one is as wide as it needs to be."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[Any], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip()
