"""Names the model back in an answer: the client sees the name that it asked for."""

import json
import re

import msgspec

_KEY = b'"model"'
_SPACE = b" \t\r\n"
_MAX_SPACE = 16
"""White space around the colon that is looked at on each side; engines write none or one blank."""


class ModelNameRestorer:
    """Replaces the value of ``model`` members that is exactly ``served``, also where chunks split it.

    Quotes inside of JSON strings are escaped, so text that looks like such a member is not taken for one. What could be
    the beginning of one at the end of a chunk is held back until the next: a few bytes more than the name is long.
    """

    def __init__(self, *, served: str, client: str) -> None:
        self._name = msgspec.json.encode(client)
        self._forms = {json.dumps(served).encode(), msgspec.json.encode(served)}
        space = rb"[ \t\r\n]{0,%d}" % _MAX_SPACE
        values = b"|".join(map(re.escape, self._forms))
        self._member = re.compile(rb"(?<!\\)(%s%s:%s)(?:%s)" % (_KEY, space, space, values))
        self._longest = len(_KEY) + 2 * _MAX_SPACE + 1 + max(map(len, self._forms))
        self._before = b" "
        """The byte that went on last: a backslash before a quote makes it a part of a text."""
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what may go on now."""
        text = self._before + self._held + chunk
        parts, end = [], len(self._before)
        for member in self._member.finditer(text, end):
            parts += [text[end : member.end(1)], self._name]
            end = member.end()
        keep = self._begin_of_half_member(text, end)
        self._before, self._held = text[keep - 1 : keep], text[keep:]
        return b"".join([*parts, text[end:keep]])

    def rest(self) -> bytes:
        """Return what is still held back: there is nothing more to come."""
        held, self._held = self._held, b""
        self._before = (self._before + held)[-1:]
        return held

    def _begin_of_half_member(self, text: bytes, start: int) -> int:
        at = text.find(b'"', max(start, len(text) - self._longest))
        while at >= 0:
            if text[at - 1 : at] != b"\\" and self._may_begin(text[at:]):
                return at
            at = text.find(b'"', at + 1)
        return len(text)

    def _may_begin(self, text: bytes) -> bool:
        """Tell whether a member that is to be replaced could begin like this."""
        if len(text) <= len(_KEY):
            return _KEY.startswith(text)
        if not text.startswith(_KEY):
            return False
        after_key = text[len(_KEY) :].lstrip(_SPACE)
        if not after_key:
            return True
        value = after_key[1:].lstrip(_SPACE)
        return after_key[:1] == b":" and any(form.startswith(value) for form in self._forms)
