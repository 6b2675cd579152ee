"""``epp config-schema``: a JSON schema of configuration files, with the parameters of installed plugins."""

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from epp.catalogue import params_of
from epp.config import EndpointPickerConfig
from epp.config.model import API_VERSIONS, KIND
from epp.plugin import ConfigurationError, PluginParams
from epp.registry import Registry
from epp.settings import field_docs

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
Struct = type[msgspec.Struct]


def config_schema(registry: Registry) -> Schema:
    """Return the schema of the whole file.

    A plugin's ``parameters`` are those of its ``type``. Types whose module cannot be imported take any.
    """
    params = dict(_parameters(registry))
    roots: list[Struct] = [EndpointPickerConfig, *params.values()]
    structs = list(dict.fromkeys(one for root in roots for one in _structs_of(root)))
    references, definitions = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    reference_to: dict[Struct, Schema] = dict(zip(structs, references, strict=True))
    for struct in structs:
        _describe(definitions[_name(reference_to[struct])], struct)
    root, plugin = definitions["EndpointPickerConfig"], definitions["PluginSpec"]
    root["properties"]["apiVersion"] |= {"enum": list(API_VERSIONS)}
    root["properties"]["kind"] |= {"const": KIND}
    root["required"] = ["apiVersion", "kind"]
    plugin["properties"]["type"] |= {"enum": sorted(registry.types)}
    plugin["required"] = ["type"]
    plugin["allOf"] = [_when(name, reference_to[struct]) for name, struct in sorted(params.items())]
    return {"$schema": DIALECT, "title": KIND, **reference_to[EndpointPickerConfig], "$defs": definitions}


def _parameters(registry: Registry) -> Iterator[tuple[str, type[PluginParams]]]:
    for name in registry.types:
        try:
            struct = params_of(registry.load(name))
        except (ConfigurationError, NameError, TypeError, ValueError):
            continue
        if struct is not None:
            yield name, struct


def _structs_of(struct: Struct) -> Iterator[Struct]:
    """Yield a struct, and all that stand in it."""
    yield struct
    for field in msgspec.structs.fields(struct):
        for kind in _leaves(field.type):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from _structs_of(kind)


def _leaves(form: Any) -> Iterator[Any]:  # noqa: ANN401 - a type form
    arguments = typing.get_args(form)
    if not arguments:
        yield form
    for argument in arguments:
        yield from _leaves(argument)


def _describe(definition: Schema, struct: Struct) -> None:
    """Let a struct's schema take no other fields, as the picker does, and say what each is."""
    definition["additionalProperties"] = False
    docs = field_docs(struct)
    for field in msgspec.structs.fields(struct):
        if field.name in docs:
            definition["properties"][field.encode_name]["description"] = " ".join(docs[field.name].split())


def _when(type_name: str, parameters: Schema) -> Schema:
    """Return that a plugin of a type takes these parameters."""
    return {
        "if": {"properties": {"type": {"const": type_name}}, "required": ["type"]},
        "then": {"properties": {"parameters": {"anyOf": [parameters, {"type": "null"}]}}},
    }


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
