"""JSON as bytes: what can be found and changed in it without decoding it, so that all other bytes stay as they are."""

import re
from dataclasses import dataclass
from itertools import islice

import msgspec

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(STRING + rb'|["{}\[\],:]', re.DOTALL)
"""A whole string, a bracket, a comma or a colon; a lone quote is a string that has no end."""
_CUT_ESCAPES = (
    re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z"),
    re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z"),
)
"""The beginning of an escape, and the first half of a character that is written as two."""
_HALF_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
_QUOTE, _COLON, _COMMA = b'":,'
_CLOSERS = {ord("{"): b"}", ord("["): b"]"}
_DEPTH = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}


MAX_JSON_TOKENS = 1_000_000
"""Strings, brackets and commas that are looked at: a third of a second of work. Texts are one each, however long."""


def replace_model(body: bytes, model: str) -> bytes | None:
    """Return the body with another value for its top-level ``model``, everything else byte for byte as it was.

    A key that is there twice is replaced twice: readers differ in which one counts. ``None``: there is more in the body
    than is looked at.
    """
    name = msgspec.json.encode(model)
    parts, end = [], 0
    spans = _model_spans(body)
    if spans is None:
        return None
    for start, stop in spans:
        parts += [body[end:start], name]
        end = stop
    return b"".join([*parts, body[end:]])


def _model_spans(body: bytes) -> list[tuple[int, int]] | None:
    """Return where the string values of top-level ``model`` members are, their quotes included."""
    spans = []
    depth, key, last = 0, "", 0
    for number, token in enumerate(_TOKEN.finditer(body)):
        if number == MAX_JSON_TOKENS:
            return None
        first = body[token.start()]
        if first != _QUOTE:
            depth += _DEPTH.get(first, 0)
            last = first
        elif depth == 1 and last != _COLON:
            key = _text_of(token[0])
        elif depth == 1 and key == "model":
            spans.append(token.span())
    return spans


def model_of(body: bytes) -> str:
    """Return the top-level ``model`` of a JSON object, empty when there is none."""
    try:
        return msgspec.json.decode(body, type=_Named).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _text_of(string: bytes) -> str:
    """Return what a JSON string says, nothing when it is no text: then it is not the one that is looked for."""
    try:
        text: str = msgspec.json.decode(string)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return text


class _Named(msgspec.Struct):
    model: str = ""


def object_end(text: bytes, start: int, stop: int) -> int | None:
    """Return where the object or list that begins at ``start`` ends; ``None`` when it does not before ``stop``."""
    depth = 0
    for token in _TOKEN.finditer(text, start, stop):
        depth += _DEPTH.get(text[token.start()], 0)
        if depth == 0:
            return token.end()
        if token[0] == b'"':
            return None
    return None


def close_json(text: bytes) -> bytes:
    """Return the beginning of a JSON document as a document of its own: what was cut is left out, brackets are closed.

    A string that was cut keeps what there is of it. What comes out is valid if the whole document is.
    """
    cut = _scan(text)
    if cut.string is None:
        closed = text + _closers(cut.open)
    else:
        closed = text[: cut.string] + _whole_characters(text[cut.string :]) + b'"' + _closers(cut.open)
    return closed if _is_json(closed) else text[: cut.safe] + _closers(cut.open[: cut.safe_depth])


@dataclass(slots=True)
class _Cut:
    """How far the beginning of a document goes."""

    open: list[int]
    """The brackets that are still open."""
    safe: int = 0
    """Where the last whole value ends, and how many brackets are open there."""
    safe_depth: int = 0
    string: int | None = None
    """Where the string begins that has no end."""


def _scan(text: bytes) -> _Cut:
    cut = _Cut([])
    for token in islice(_TOKEN.finditer(text), MAX_JSON_TOKENS):
        first = text[token.start()]
        step = _DEPTH.get(first, 0)
        if token[0] == b'"':
            cut.string = token.start()
            break
        if first == _COMMA:
            cut.safe, cut.safe_depth = token.start(), len(cut.open)
        elif step > 0:
            cut.open.append(first)
        elif step < 0 and cut.open:
            cut.open.pop()
        if step:
            cut.safe, cut.safe_depth = token.end(), len(cut.open)
    return cut


def _whole_characters(string: bytes) -> bytes:
    """Return the beginning of a string without the part of a character that it ends with."""
    for pattern in _CUT_ESCAPES:
        cut = pattern.search(string, len(string) - 6)
        if cut is not None:
            before = string[: cut.start()]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                string = before
    return string[:-4] + _HALF_CHARACTER.sub(b"", string[-4:])


def _closers(stack: list[int]) -> bytes:
    return b"".join(_CLOSERS[opener] for opener in reversed(stack))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
