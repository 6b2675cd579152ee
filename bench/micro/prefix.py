"""From a prompt's JSON to its matches in the prefix index, and what an entry costs: ``make bench-micro``.

Times are CPU of this process, medians; the index holds as many other prompts as it takes to have 100,000 entries.
"""

import gc
import random
import tracemalloc
from functools import partial

import msgspec
from timing import median_us

from epp_plugins.parsers.openai import OpenaiParser
from epp_plugins.prefix import PrefixIndex, chain

SIZES_KB = (4, 42, 416)
ENDPOINTS = (10, 100, 1000)
BLOCK_BYTES = 128
"""32 tokens."""
ENTRIES = 100_000
MEASURED_ENTRIES = 1_000_000
MAX_ALL_IN_MS = 3.0
MAX_BYTES_PER_ENTRY = 100.0
HUGE = 1 << 40


def chat_body(rng: random.Random, size: int) -> bytes:
    """Return a chat request of about so many bytes: a system prompt, then turns."""
    words = " ".join(f"{rng.getrandbits(32):08x}" for _ in range(size // 9))
    turns = [words[start : start + 2000] for start in range(0, len(words), 2000)]
    messages = [{"role": "user" if i % 2 else "assistant", "content": turn} for i, turn in enumerate(turns)]
    return msgspec.json.encode({"model": "m", "messages": [{"role": "system", "content": "Be kind."}, *messages]})


def filled(endpoints: int, rng: random.Random) -> PrefixIndex[int]:
    """Return an index with entries of other prompts, spread over all endpoints."""
    index: PrefixIndex[int] = PrefixIndex(capacity_of=lambda _: HUGE, max_bytes=HUGE)
    for number in range(ENTRIES // 100):
        index.insert(number % endpoints, [rng.getrandbits(64) for _ in range(100)])
    return index


def print_steps() -> float:
    """Print what each step takes; return the largest sum for the largest prompt, in milliseconds."""
    rng, parser = random.Random(0), OpenaiParser()  # noqa: S311 - prompts, not secrets
    most_ms = 0.0
    print("| prompt | endpoints | JSON and content us | hash us | match us | insert us | all ms |")
    print("|---|---|---|---|---|---|---|")
    for size_kb in SIZES_KB:
        body = chat_body(rng, size_kb * 1024)
        (prompt,) = parser.parse("/v1/chat/completions", body).prompts
        hashes = chain(1, prompt, block_bytes=BLOCK_BYTES, max_blocks=10_000)
        parse_us = median_us(partial(parser.parse, "/v1/chat/completions", body), repeats=50)
        hash_us = median_us(partial(chain, 1, prompt, block_bytes=BLOCK_BYTES, max_blocks=10_000), repeats=50)
        for endpoints in ENDPOINTS:
            index = filled(endpoints, rng)
            for endpoint in range(endpoints):
                index.insert(endpoint, hashes[: rng.randrange(len(hashes) + 1)])
            match_us = median_us(partial(index.match, hashes), repeats=200)
            insert_us = median_us(partial(index.insert, 0, hashes), repeats=200)
            all_ms = (parse_us + hash_us + match_us + insert_us) / 1000
            most_ms = max(most_ms, all_ms)
            cells = (f"{size_kb} KB", endpoints, *(f"{us:.0f}" for us in (parse_us, hash_us, match_us, insert_us)))
            print(f"| {' | '.join(map(str, cells))} | {all_ms:.2f} |")
    return most_ms


def bytes_per_entry(endpoints: int) -> tuple[float, float]:
    """Return measured and estimated bytes for each (block, endpoint), of conversations that grow turn by turn."""
    rng = random.Random(0)  # noqa: S311 - prompts, not secrets
    tracemalloc.start()
    index: PrefixIndex[int] = PrefixIndex(capacity_of=lambda _: HUGE, max_bytes=HUGE)
    while len(index) < MEASURED_ENTRIES:
        turns: list[int] = []
        endpoint = rng.randrange(endpoints)
        for _ in range(rng.randrange(1, 8)):
            turns += [rng.getrandbits(64) for _ in range(rng.randrange(4, 60))]
            index.insert(endpoint, turns)
    del turns
    gc.collect()
    measured = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return measured / len(index), index.bytes_used / len(index)


def main() -> int:
    """Print everything; 1 when a bound is missed."""
    all_ms = print_steps()
    measured, estimated = bytes_per_entry(10)
    print(f"conversations on 10 endpoints, {MEASURED_ENTRIES:,} entries: {measured:.1f} bytes each, ", end="")
    print(f"{estimated:.1f} by the index' own estimate")
    return int(all_ms > MAX_ALL_IN_MS or measured > MAX_BYTES_PER_ENTRY)


if __name__ == "__main__":
    raise SystemExit(main())
