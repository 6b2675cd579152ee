"""JSON as bytes: what can be found and changed in it without decoding it, so that all other bytes stay as they are."""

import re

import msgspec

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(STRING + rb'|["{}\[\],:]', re.DOTALL)
"""A whole string, a bracket, a comma or a colon; a lone quote is a string that has no end."""
_HALF_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_HALF_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
_QUOTE, _COLON, _COMMA = b'":,'
_CLOSERS = {ord("{"): b"}", ord("["): b"]"}
_DEPTH = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}


def replace_model(body: bytes, model: str) -> bytes:
    """Return the body with another value for its top-level ``model``, everything else byte for byte as it was.

    ``body`` is a valid JSON object. A key that is there twice is replaced twice: readers differ in which one counts.
    """
    name = msgspec.json.encode(model)
    parts, end = [], 0
    for start, stop in _model_spans(body):
        parts += [body[end:start], name]
        end = stop
    return b"".join([*parts, body[end:]])


def _model_spans(body: bytes) -> list[tuple[int, int]]:
    """Return where the string values of top-level ``model`` members are, their quotes included."""
    spans = []
    depth, key, last = 0, "", 0
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first != _QUOTE:
            depth += _DEPTH.get(first, 0)
            last = first
        elif depth == 1 and last != _COLON:
            key = msgspec.json.decode(token[0])
        elif depth == 1 and key == "model":
            spans.append(token.span())
    return spans


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
    stack: list[int] = []
    safe, safe_depth, tail = 0, 0, None
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first == _COMMA:
            safe, safe_depth = token.start(), len(stack)
        elif (step := _DEPTH.get(first, 0)) > 0:
            stack.append(first)
            safe, safe_depth = token.end(), len(stack)
        elif step < 0 and stack:
            stack.pop()
            safe, safe_depth = token.end(), len(stack)
        elif token[0] == b'"':
            tail = token.start()
            break
    if tail is not None:
        string = _HALF_CHARACTER.sub(b"", _HALF_ESCAPE.sub(b"", text[tail:])) + b'"'
        closed = text[:tail] + string + _closers(stack)
        if _is_json(closed):
            return closed
    elif _is_json(closed := text + _closers(stack)):
        return closed
    return text[:safe] + _closers(stack[:safe_depth])


def _closers(stack: list[int]) -> bytes:
    return b"".join(_CLOSERS[opener] for opener in reversed(stack))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
