"""Reads token counts out of an answer that passes by."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from epp.director.json_bytes import object_end
from epp.plugin import Usage

_MEMBER = re.compile(rb'"(?:usage|meta_info)"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}(?=\{)')
_MEMBER_BYTES = len(b'"meta_info"') + 2 * 16 + len(b":{")
MAX_OBJECT_BYTES = 4096
"""Larger ones are passed over; those of the engines have a few hundred bytes."""
MAX_COUNT = 2**53
_PROMPT = (("prompt_tokens",), ("input_tokens",))
_COMPLETION = (("completion_tokens",), ("output_tokens",))
_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("cache_read_input_tokens",),
    ("cached_tokens",),
)


class UsageReader:
    """Finds the ``usage`` objects (SGLang: ``meta_info``) of an answer, plain or as server-sent events, in any chunks.

    Works on the bytes: it neither splits lines nor decodes anything but those objects, and holds no more than one of
    them. A quote inside of a JSON string is escaped, so a text that looks like such a member is none. Later counts
    replace earlier ones field by field: Anthropic reports the prompt at the beginning and the completion at the end.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._counts: dict[str, int] = {}

    @property
    def usage(self) -> Usage | None:
        """What was found so far."""
        return Usage(**self._counts) if self._counts else None

    def feed(self, chunk: bytes) -> None:
        """Look at the next piece of the answer."""
        text = self._kept + chunk
        if len(self._kept) > _MEMBER_BYTES and b"}" not in chunk and len(text) < MAX_OBJECT_BYTES:
            # An object that is still without an end is not looked at again.
            self._kept = text
            return
        at = 0
        while found := _MEMBER.search(text, at):
            stop = found.start() + MAX_OBJECT_BYTES
            end = object_end(text, found.end(), stop)
            if end is not None:
                self._note(text[found.end() : end])
                at = end
            elif len(text) < stop:
                self._kept = text[found.start() :]
                return
            else:
                at = stop
        self._kept = text[max(at, len(text) - _MEMBER_BYTES) :]

    def _note(self, found: bytes) -> None:
        try:
            counts = msgspec.json.decode(found, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        prompt = _first(counts, _PROMPT)
        if prompt is not None:
            # Anthropic counts what was read from the cache, or written to it, beside the input.
            beside = (("cache_read_input_tokens",), ("cache_creation_input_tokens",))
            prompt += sum(_first(counts, (path,)) or 0 for path in beside)
        noted = {
            "prompt_tokens": prompt,
            "completion_tokens": _first(counts, _COMPLETION),
            "cached_tokens": _first(counts, _CACHED),
        }
        self._counts |= {name: tokens for name, tokens in noted.items() if tokens is not None}


def _first(counts: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> int | None:
    for path in paths:
        value: object = counts
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        tokens = _count(value)
        if tokens is not None:
            return tokens
    return None


def _count(value: object) -> int | None:
    """Return a sensible number of tokens, also when it is written as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_COUNT)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    return None
