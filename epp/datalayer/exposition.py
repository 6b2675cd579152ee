"""A targeted scan of a Prometheus text page: the few series that matter, not the whole page.

A real vLLM page has 50 KB in 600 lines, of which six matter, and it is read about once a second for each endpoint: a
general parser spends milliseconds on it, and even looking for each name from the start of the page costs more than
everything else that is done with it. Pages of one endpoint hardly change their layout, so a metric is looked for where
it stood before (`bench/micro/exposition.py`).
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence

MAX_COUNT = 1e15
"""No count of requests or blocks is larger; what claims to be is passed over, so that sums stay finite."""
SLACK_BYTES = 1024
"""How far from its last place a metric is looked for first."""
TRUSTED_PAGES = 5
"""For how many pages a metric is only looked for near its last place, or not at all where it was absent."""
SAME_LAYOUT_BYTES = 50
"""A page whose length differs by more than this may have other metrics; numbers that grow change it by less."""
MAX_KEPT_BYTES = 65_536
"""Longer groups, and those that a torn page ends in, are not kept to be compared with those of the next page."""
_SAMPLE = re.compile(rb'(?:[ \t]*+\{((?:[^"}\n]++|"(?:[^"\\\n]++|\\.)*+")*+)\}|[ \t])[ \t]*+([^ \t\r\n]+)')
"""What follows a metric's name on its line: labels in braces, then the value; a timestamp may follow and is ignored.

Both expressions are possessive and bound to a line or a word, so that no page takes more than linear time.
"""
_LABEL = re.compile(rb'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]++|\\.)*+)"')
_NEWLINE = ord("\n")
_AFTER_NAME = frozenset(b"{ \t")


class Group:
    """The series of one metric, which stand together on a page, as the format has it."""

    def __init__(self, text: bytes, name: bytes) -> None:
        self.text = text
        self.samples: dict[bytes, bytes] = {}
        """Labels -> value, both as they stand on the page; of a series that stands there twice, the last."""
        for line in text.split(b"\n"):
            match = _SAMPLE.match(line, len(name))
            if match:
                self.samples[match[1] or b""] = match[2]

    @functools.cached_property
    def series(self) -> Sequence[tuple[Mapping[bytes, bytes], bytes]]:
        """Labels by name, and value, of each series."""
        return [(read_labels(labels), value) for labels, value in self.samples.items()]

    def with_labels(self, labels: Mapping[bytes, bytes]) -> Sequence[tuple[Mapping[bytes, bytes], bytes]]:
        """Return the series that have all these labels."""
        wanted = labels.items()
        return [(has, value) for has, value in self.series if wanted <= has.items()]


NOTHING = Group(b"", b"")


class Layout:
    """Where the metrics of one endpoint stood on its last page, and what they were."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._groups: dict[bytes, Group] = {}
        self._trusted: dict[bytes, int] = {}
        """For how many more pages a metric is taken to stand where it stood, or to be absent."""
        self._wanted: set[bytes] = set()
        """What was looked for on the last page that was not as the one before."""
        self._page_bytes = 0

    def turn_to(self, page: bytes) -> bool:
        """Begin another page; tells whether all that was looked for on the last one stands there, and as it was."""
        if abs(len(page) - self._page_bytes) > SAME_LAYOUT_BYTES:
            self._trusted.clear()
        self._page_bytes = len(page)
        wanted, trusted = self._wanted, self._trusted
        for name in wanted:
            if not trusted.get(name) or not self._is_as_before(page, name):
                wanted.clear()
                return False
        for name in wanted:
            trusted[name] -= 1
        return bool(wanted)

    def find(self, page: bytes, name: bytes) -> Group:
        """Return every series with exactly this name; the same object as before where nothing has changed."""
        self._wanted.add(name)
        trusted = self._trusted.get(name, 0)
        if trusted:
            self._trusted[name] = trusted - 1
            if self._is_as_before(page, name):
                return self._groups.get(name, NOTHING)
            text = self._near(page, name, self._places[name])
            if text is not None:
                return self._group(name, text)
        return self._search(page, name)

    def _is_as_before(self, page: bytes, name: bytes) -> bool:
        """Tell whether a metric stands where it stood, as it was, with no line that may be one more beside it."""
        start = self._places.get(name)
        if start is None:
            return True
        group = self._groups.get(name)
        if group is None or not page.startswith(group.text, start) or page[start - 1] != _NEWLINE:
            return False
        line_before = page.rfind(b"\n", 0, start - 1) + 1
        return not (page.startswith(name, start + len(group.text)) or page.startswith(name, line_before, start - 1))

    def _near(self, page: bytes, name: bytes, last: int) -> bytes | None:
        """Return the metric's lines if they begin near their last place."""
        place = _first_line(page, name, max(0, last - SLACK_BYTES), last + SLACK_BYTES)
        if place is None or _is_sample(page, name, page.rfind(b"\n", 0, max(0, place - 1)) + 1, place):
            return None
        self._places[name] = place
        return page[place : _end(page, name, place)]

    def _search(self, page: bytes, name: bytes) -> Group:
        """Look for the metric on the whole page. It should stand in one place, but pages can be several in a row."""
        texts: list[bytes] = []
        end = 0
        place = first = _first_line(page, name, 0, len(page))
        while place is not None:
            end = _end(page, name, place)
            texts.append(page[place:end])
            place = _first_line(page, name, end, len(page))
        if first is None:
            self._groups.pop(name, None)
            if self._places.pop(name, None) is not None:
                self._trusted.clear()  # it may have been renamed: look for everything again
            self._trusted[name] = TRUSTED_PAGES
            return NOTHING
        self._places[name] = first
        self._trusted[name] = TRUSTED_PAGES if len(texts) == 1 else 0
        return self._group(name, b"\n".join(texts))

    def _group(self, name: bytes, text: bytes) -> Group:
        group = self._groups.get(name)
        if group is None or group.text != text:
            group = Group(text, name)
            if len(text) <= MAX_KEPT_BYTES and text.endswith(b"\n"):
                self._groups[name] = group
            else:
                self._groups.pop(name, None)
        return group


def _first_line(page: bytes, name: bytes, start: int, end: int) -> int | None:
    """Return where the first sample of a metric begins that lies between two places."""
    while (place := page.find(name, start, end)) >= 0:
        start = place + len(name)
        if (place == 0 or page[place - 1] == _NEWLINE) and _is_sample(page, name, place, len(page)):
            return place
    return None


def _is_sample(page: bytes, name: bytes, place: int, before: int) -> bool:
    """Tell whether a line that begins before another place is a sample of this metric."""
    after = place + len(name)
    return place < before and after < len(page) and page[after] in _AFTER_NAME and page.startswith(name, place)


def _end(page: bytes, name: bytes, place: int) -> int:
    """Return where the lines end that are samples of a metric, from the first of them on."""
    while _is_sample(page, name, place, len(page)):
        newline = page.find(b"\n", place)
        if newline < 0:
            return len(page)
        place = newline + 1
    return place


def read_labels(text: bytes) -> Mapping[bytes, bytes]:
    """Return the labels of a series by name, as they stand on the page."""
    return dict(_LABEL.findall(text))


def read_number(text: bytes) -> float | None:
    """Return a finite number, ``None`` for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_count(text: bytes) -> float | None:
    """Return a number from 0 to `MAX_COUNT`, ``None`` for anything else."""
    value = read_number(text)
    return value if value is not None and 0 <= value <= MAX_COUNT else None
