"""Canonical content of prompts: the same bytes for what an engine would see alike, in the order of chat templates.

Text stands as it is, token ids as four bytes each. Images, audio and other media stand as a digest of everything that
is said of them, so two that differ in anything never match, and a picture of a megabyte costs 16 bytes.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from xxhash import xxh3_128_digest

from epp.plugin.request import BYTES_PER_TOKEN
from epp_plugins.parsers.document import invalid

MAX_PROMPTS = 256
"""Prompts of one request that are looked at: more of them say nothing more about where it should go."""
MAX_TOKEN_IDS = 262_144
"""Token ids of one prompt that are looked at."""
_TEXT_TYPES = ("text", "input_text", "output_text", "refusal")
_MEDIA_WORDS = ("image", "audio", "video", "file", "document", "media")
_MESSAGE_EXTRAS = ("name", "tool_calls", "tool_call_id", "function_call", "reasoning", "reasoning_content", "audio")
"""Members of a message, beside role and content, that templates write into the prompt."""
_SYSTEM_ROLES = ("system", "developer")


def conversation(messages: Sequence[object], tools: object, where: str, *, system: object = None) -> bytes:
    """Return one prompt: what the system says, then the tools, then the other messages.

    ``where`` is the path of ``messages`` for refusals (400) of what is no message.
    """
    parts = []
    if system:
        parts += [b"\x00system\x00", *_content(system, "system")]
    leading = 0
    while leading < len(messages) and _is_system(messages[leading]):
        leading += 1
    for i, message in enumerate(messages):
        if i == leading and tools:
            parts.append(canonical_json(tools))
        parts += _message(message, f"{where}[{i}]")
    if tools and leading == len(messages):
        parts.append(canonical_json(tools))
    return b"".join(parts)


def texts_or_tokens(value: object, name: str) -> Sequence[bytes]:
    """Return the prompts of a string, a list of strings or content parts, of token ids, or of lists of token ids."""
    if isinstance(value, str):
        return (value.encode(),)
    if not isinstance(value, list) or not value:
        raise invalid(f"`{name}` is required: a string, a list of strings, or token ids", name)
    if isinstance(value[0], int):
        return (token_bytes(value, name),)
    parts = value[:MAX_PROMPTS]
    if all(isinstance(part, str) for part in parts):
        return tuple(part.encode() for part in parts)
    if all(isinstance(part, list) for part in parts):
        return tuple(token_bytes(part, f"{name}[{i}]") for i, part in enumerate(parts))
    if all(isinstance(part, dict) for part in parts):
        return tuple(b"".join(_item(part, f"{name}[{i}]")) for i, part in enumerate(parts))
    raise invalid(f"`{name}` must hold strings, or token ids from 0 to 4294967295, and not a mixture", name)


def has_media(items_: object) -> bool:
    """Tell whether a message or item of a list is, or holds, an image or other media."""
    if not isinstance(items_, list):
        return False
    return any(isinstance(one, dict) and (_is_media(one) or has_media(one.get("content"))) for one in items_)


def is_token_ids(value: object) -> bool:
    """Tell whether what `texts_or_tokens` has read is token ids."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | list)


def token_bytes(ids: Sequence[object], where: str) -> bytes:
    """Return four bytes for each token id; raises `Rejection` (400) for what is none."""
    looked_at = ids[:MAX_TOKEN_IDS]
    if set(map(type, looked_at)) <= {int}:
        try:
            return array("I", cast("Sequence[int]", looked_at)).tobytes()
        except OverflowError:
            pass
    raise invalid(f"`{where}` must hold strings, or token ids from 0 to 4294967295, and not a mixture", where)


def fold_media(tokens: bytes, places: Iterable[tuple[int, int, str]]) -> bytes:
    """Put digests where media stand in a tokenised prompt: there the ids say nothing, all pictures have the same.

    ``places`` has the first token of each, how many there are, and the media's hash or address; those that overlap are
    folded as long as all of them together are no longer than the prompt.
    """
    folded, left = bytearray(tokens), len(tokens)
    for offset, length, name in places:
        start, stop = offset * BYTES_PER_TOKEN, min((offset + length) * BYTES_PER_TOKEN, len(folded))
        left -= max(0, stop - start)
        if left < 0:
            break
        if start < stop:
            mark = digest(name.encode())
            folded[start:stop] = (mark * ((stop - start) // len(mark) + 1))[: stop - start]
    return bytes(folded)


def digest(content: bytes) -> bytes:
    """Return 16 bytes that stand for some content."""
    return xxh3_128_digest(content)


def canonical_json(value: object) -> bytes:
    """Return the same bytes for the same value, whatever the order of its keys was."""
    return msgspec.json.encode(value, order="deterministic")


def items(value: object, name: str) -> bytes:
    """Return the content of a list of conversation items, or of a string that stands for one user message."""
    if isinstance(value, str):
        return b"\x00user\x00" + _text(value)
    if not isinstance(value, list) or not value:
        raise invalid(f"`{name}` is required: a string, or a list of items", name)
    return b"".join(part for i, one in enumerate(value) for part in _item(one, f"{name}[{i}]"))


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in _SYSTEM_ROLES


def _item(item: object, where: str) -> Iterator[bytes]:
    """Yield a conversation item: a message, or anything else that the engine turns into text, as canonical JSON."""
    if isinstance(item, dict) and "role" in item:
        yield from _message(item, where)
    elif isinstance(item, str):
        yield _text(item)
    elif isinstance(item, dict):
        yield _media(item) if _is_media(item) else canonical_json(item)
    else:
        raise invalid(f"`{where}` must be an object, such as a message with `role` and `content`", where)


def _message(message: object, where: str) -> Iterator[bytes]:
    if not isinstance(message, dict):
        raise invalid(f"`{where}` must be an object with `role` and `content`", where)
    role = message.get("role")
    if not isinstance(role, str):
        raise invalid(f"`{where}.role` is required, as a string", f"{where}.role")
    yield b"\x00" + _text(role) + b"\x00"
    yield from _content(message.get("content"), f"{where}.content")
    extras = {name: message[name] for name in _MESSAGE_EXTRAS if message.get(name)}
    if extras:
        yield b"\x00" + canonical_json(extras)


def _content(content: object, where: str) -> Iterator[bytes]:
    """Yield a message's content: text as it is, media as digests, anything else as canonical JSON."""
    if content is None:
        return
    if isinstance(content, str):
        yield _text(content)
        return
    if not isinstance(content, list):
        raise invalid(f"`{where}` must be a string or a list of content parts", where)
    for i, part in enumerate(content):
        if isinstance(part, str):
            yield _text(part)
        elif isinstance(part, dict):
            yield from _part(part, f"{where}[{i}]")
        else:
            raise invalid(f"`{where}[{i}]` must be a content part, such as an object with `type`", f"{where}[{i}]")


def _part(part: Mapping[str, Any], where: str) -> Iterator[bytes]:
    text = part.get("text")
    if part.get("type") in _TEXT_TYPES and isinstance(text, str):
        yield _text(text)
    elif part.get("type") == "tool_result" and isinstance(part.get("content"), list):
        yield b"\x00tool_result\x00" + canonical_json(part.get("tool_use_id"))
        for inner in part["content"]:
            yield _media(inner) if isinstance(inner, dict) and _is_media(inner) else canonical_json(inner)
    elif _is_media(part):
        yield _media(part)
    else:
        yield canonical_json(part)


def _text(text: str) -> bytes:
    """Return a text in which nothing looks like the beginning of a message."""
    return text.encode().replace(b"\x00", b"\x00\x00")


def _is_media(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and any(word in kind for word in _MEDIA_WORDS)


def _media(part: Mapping[str, Any]) -> bytes:
    return b"\x01" + digest(canonical_json(part))
