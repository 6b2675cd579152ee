"""What a gateway says beside the message itself: body modes, the subset hint, who served the request."""

from collections.abc import Mapping, Sequence

from google.protobuf.struct_pb2 import Value

from epp._pb import external_processor_pb2 as pb
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.extproc.headers import DESTINATION_NAMESPACE, SERVED, SUBSET, SUBSET_NAMESPACE

BUFFERED_MODES = frozenset({ProcessingMode.BUFFERED, ProcessingMode.BUFFERED_PARTIAL})
HEAD_ONLY_MODES = frozenset({ProcessingMode.NONE, ProcessingMode.STREAMED})
DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
MODE_NAMES: Mapping[int | None, str] = {mode: name.lower() for name, mode in ProcessingMode.BodySendMode.items()}


def mode_name(mode: int | None) -> str:
    """Return a body mode as a bounded label; ``unknown`` when the gateway did not say, or says something new."""
    return MODE_NAMES.get(mode, "unknown")


def subset_hint(message: pb.ProcessingRequest) -> Sequence[str] | None:
    """Return the allowed endpoints, each ``ip:port``; ``None`` when the gateway gave no hint.

    The protocol says a list; some gateways send one string with commas.
    """
    hint = _metadata(message, SUBSET_NAMESPACE, SUBSET)
    if hint is None:
        return None
    match hint.WhichOneof("kind"):
        case "string_value":
            parts = hint.string_value.split(",")
        case "list_value":
            parts = [value.string_value for value in hint.list_value.values]
        case _:
            return None
    return tuple(part.strip() for part in parts if part.strip())


def served_by(message: pb.ProcessingRequest) -> str | None:
    """Return the ``ip:port`` that served the request; ``None`` when the gateway does not say."""
    served = _metadata(message, DESTINATION_NAMESPACE, SERVED)
    return served.string_value or None if served is not None else None


def _metadata(message: pb.ProcessingRequest, namespace: str, key: str) -> Value | None:
    if not message.HasField("metadata_context") or namespace not in message.metadata_context.filter_metadata:
        return None
    fields = message.metadata_context.filter_metadata[namespace].fields
    return fields.get(key)
