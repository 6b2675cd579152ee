"""A request's JSON object, and the fields that every API has under some name."""

from typing import Any

import msgspec

from epp.plugin import DropReason, Rejection

Document = dict[str, Any]


def read_document(body: bytes) -> Document:
    """Return the body's JSON object; raises `Rejection` (400) when it is none."""
    if not body:
        raise invalid("the request has no body; send a JSON object")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise invalid("the body must be a JSON object")
    return document


def read_model(document: Document) -> str:
    """Return the model's name; raises `Rejection` (400) without one."""
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("`model` is required: the name of the model to use, as a string", "model")
    return model


def read_optional_model(document: Document) -> str:
    """Return the model's name, empty when there is none; raises `Rejection` (400) for one that is no string."""
    return read_model(document) if document.get("model") is not None else ""


def read_tokens_wanted(document: Document, *names: str) -> int | None:
    """Return the most output tokens that the client wants, under the first name that has a sensible number."""
    for name in names:
        value = document.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def read_object(document: Document, name: str) -> Document:
    """Return a member that is an object, an empty one for anything else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def read_text(document: Document, name: str) -> str:
    """Return a member that is a string, an empty one for anything else."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def invalid(message: str, param: str | None = None) -> Rejection:
    """Return a refusal (400) that says what is wrong, and where."""
    return Rejection(DropReason.BAD_REQUEST, message, param=param)
