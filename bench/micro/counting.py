"""How many instructions a call takes: the same on every machine, however busy it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction


@dataclass
class Count:
    """What was run."""

    instructions: int = 0
    """Of Python's bytecode."""
    calls: int = 0
    """Of functions that are not in Python."""


@contextmanager
def counted() -> Iterator[Count]:
    """Count what runs in this thread while the context is open."""
    count = Count()

    def on_instruction(_frame: FrameType, event: str, _argument: object) -> "TraceFunction":
        if event == "opcode":
            count.instructions += 1
        return on_instruction

    def on_frame(frame: FrameType, _event: str, _argument: object) -> "TraceFunction":
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return on_instruction

    def on_call(_frame: FrameType, event: str, _argument: object) -> None:
        if event == "c_call":
            count.calls += 1

    sys.setprofile(on_call)
    sys.settrace(on_frame)
    try:
        yield count
    finally:
        sys.settrace(None)
        sys.setprofile(None)
