"""Recorded traffic without its texts: arrival, lengths, and which blocks of 512 tokens a prompt begins with."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BIN_S = 3.0
"""The conversation trace has its arrivals in bins of about this width; replayed as they are they make herds."""


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request; ``arrives_s`` counts from the beginning of the replay."""

    arrives_s: float
    input_tokens: int
    output_tokens: int
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Traffic:
    """A trace, and how it is replayed."""

    name: str
    file: str
    speed: float
    is_binned: bool = False
    shares_nothing: bool = False
    """Every prompt is made another one: a control, in which prefix affinity can only do harm."""


TRAFFICS = (
    Traffic("conversation x2.5", "conversation_trace.jsonl", 2.5, is_binned=True),
    Traffic("synthetic x3", "synthetic_trace.jsonl", 3.0),
    Traffic("conversation x2.5, nothing shared", "conversation_trace.jsonl", 2.5, is_binned=True, shares_nothing=True),
)


def load(directory: Path, traffic: Traffic, seed: int) -> Sequence[TracedRequest]:
    """Return the requests in the order of their arrival; the seed spreads arrivals inside their bins."""
    rng = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    requests = []
    with (directory / traffic.file).open() as lines:
        for number, line in enumerate(lines):
            entry = json.loads(line)
            arrives_s = entry["timestamp"] / 1000 + (rng.uniform(0, BIN_S) if traffic.is_binned else 0.0)
            blocks = entry["hash_ids"]
            if traffic.shares_nothing:
                blocks = [-(number * 1000 + i) - 1 for i in range(len(blocks))]
            requests.append(
                TracedRequest(arrives_s / traffic.speed, entry["input_length"], entry["output_length"], blocks)
            )
    return sorted(requests, key=lambda request: request.arrives_s)
