"""A targeted scan of a Prometheus text page: the few series that matter, not the whole page.

A real vLLM page has 50 KB in 600 lines, of which six matter, and it is read about once a second for each endpoint: a
general parser spends milliseconds on what is found here by searching for the names (`bench/micro/exposition.py`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from epp.datalayer.mapping import EngineMetrics
from epp.plugin import Load

MAX_VALUE = 1e15
"""No count of requests or blocks is larger; what claims to be is passed over, so that sums stay finite."""
_SAMPLE = re.compile(rb'(?:\{((?:[^"}\n]|"(?:[^"\\\n]|\\.)*+")*+)\})?[ \t]+([^ \t\r\n]+)')
"""What follows a metric's name on its line: labels in braces, then the value; a timestamp may follow and is ignored.

Both expressions are possessive and bound to a line or a word, so that no page takes more than linear time.
"""
_LABEL = re.compile(rb'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"')


def read_load(page: bytes, names: EngineMetrics) -> Load:
    """Return the load that a page tells; ``None`` for each number that it does not.

    Data-parallel engines export one series a rank: counts are summed, the cache ratio is their mean. Samples that are
    no sensible count are passed over.
    """
    waiting = _values(page, names.waiting)
    running = _values(page, names.running)
    ratios = _values(page, names.kv_cache_ratio)
    infos = _label_sets(page, names.cache_info)
    block_sizes = _integers(infos, names.block_size_label)
    block_counts = _integers(infos, names.block_count_label)
    return Load(
        waiting=round(sum(waiting)) if waiting else None,
        running=round(sum(running)) if running else None,
        kv_cache_ratio=min(1.0, sum(ratios) / len(ratios)) if ratios else None,
        block_size_tokens=block_sizes[0] if block_sizes else None,
        block_count=sum(block_counts) if block_counts else None,
    )


def _values(page: bytes, names: Sequence[bytes]) -> list[float]:
    """Return the usable values of all series of the first metric that has any."""
    for name in names:
        values = [value for _, text in _samples(page, name) if (value := _number(text)) is not None]
        if values:
            return values
    return []


def _label_sets(page: bytes, names: Sequence[bytes]) -> list[Mapping[bytes, bytes]]:
    for name in names:
        sets: list[Mapping[bytes, bytes]] = [dict(_LABEL.findall(labels)) for labels, _ in _samples(page, name)]
        if sets:
            return sets
    return []


def _integers(label_sets: Sequence[Mapping[bytes, bytes]], label: bytes) -> list[int]:
    """Return the label's values that are positive integers; vLLM writes ``None`` for what it does not know yet."""
    numbers = (_number(labels.get(label, b"")) for labels in label_sets)
    return [int(number) for number in numbers if number]


def _samples(page: bytes, name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield labels and value, as text, of every series with exactly this name."""
    end = 0
    while (start := page.find(name, end)) >= 0:
        end = start + len(name)
        if start == 0 or page[start - 1] == _NEWLINE:
            match = _SAMPLE.match(page, end)
            if match:
                yield match[1] or b"", match[2]


_NEWLINE = ord("\n")


def _number(text: bytes) -> float | None:
    """Return a number from 0 to `MAX_VALUE`, ``None`` for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= MAX_VALUE else None
