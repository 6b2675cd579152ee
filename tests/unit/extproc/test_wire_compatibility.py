"""Our protobuf files say the same as Envoy's, message for message and field for field.

Envoy's come from the package `xds-protos`. They register the same full names, so both cannot live in one process: the
comparison reads theirs in a subprocess, as a serialized description.
"""

import json
import subprocess
import sys

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from epp._pb import base_pb2, external_processor_pb2, http_status_pb2, processing_mode_pb2

MODULES = (external_processor_pb2, base_pb2, http_status_pb2, processing_mode_pb2)
READ_WITH_ENVOYS = """
import json, sys
from envoy.service.ext_proc.v3 import external_processor_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
pool = descriptor_pool.Default()
for name, wire in json.load(sys.stdin):
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(bytes.fromhex(wire))
    print(json.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True)))
"""
SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_UINT32: 7,
}


def all_messages() -> list[Descriptor]:
    top = [message for module in MODULES for message in module.DESCRIPTOR.message_types_by_name.values()]
    return sorted(top, key=lambda message: str(message.full_name))


def fill(message: Message, variant: int) -> Message:
    """Set every field; of a oneof the ``variant``-th."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[variant % len(oneof.fields)] is not field:
            continue
        set_field(message, field, variant)  # type: ignore[arg-type] # the two implementations of one class
    return message


def set_field(message: Message, field: FieldDescriptor, variant: int) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        getattr(message, field.name)["key"].update({"inner": [1, "two", None]})
    elif kind is not None and kind.full_name == "google.protobuf.Struct":
        getattr(message, field.name).update({"key": "value"})
    elif kind is not None:
        child = getattr(message, field.name)
        fill(child.add() if field.is_repeated else child, variant)
        if not field.is_repeated:
            child.SetInParent()
    else:
        value = scalar(field)
        setattr(message, field.name, value) if not field.is_repeated else getattr(message, field.name).append(value)


def scalar(field: FieldDescriptor) -> object:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\x00bytes\xff"
    return SCALARS[field.cpp_type]


def message_class(descriptor: Descriptor) -> type[Message]:
    (module,) = [module for module in MODULES if descriptor.name in module.DESCRIPTOR.message_types_by_name]
    kind: type[Message] = getattr(module, descriptor.name)
    return kind


def cases() -> list[Message]:
    """Each message, filled once for each alternative of its oneofs."""
    return [
        fill(message_class(descriptor)(), variant)
        for descriptor in all_messages()
        for variant in range(max([len(oneof.fields) for oneof in descriptor.oneofs], default=1))
    ]


@pytest.fixture(scope="module")
def read_by_envoys() -> list[dict[str, object]]:
    """What Envoy's own definitions read from each case."""
    wires = [(case.DESCRIPTOR.full_name, case.SerializeToString().hex()) for case in cases()]
    command = [sys.executable, "-W", "ignore", "-c", READ_WITH_ENVOYS]
    done = subprocess.run(command, input=json.dumps(wires), capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(cases())), ids=lambda number: cases()[number].DESCRIPTOR.name)
def test_envoy_reads_every_field_that_we_write(number: int, read_by_envoys: list[dict[str, object]]) -> None:
    ours = json_format.MessageToDict(cases()[number], preserving_proto_field_name=True)
    assert ours
    assert read_by_envoys[number] == ours
