"""One engine's stream of KV events: in order and without gaps, or begun anew.

Messages are numbered from 0 by the engine. Those that were lost can be asked for again, as far as the engine keeps
them. What cannot be had again may have said that blocks are gone: then all that it has said so far is forgotten.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_WAITING = 10_000
"""Messages after a gap that are kept while it is being closed; as many as vLLM keeps for those who ask."""


class Coverage(enum.Enum):
    """How much of a cache is known by its events."""

    NOTHING = enum.auto()
    """Nothing was heard yet."""
    PART = enum.auto()
    """What was said is there, but not all that is there was heard of."""
    ALL = enum.auto()
    """Everything was heard from the first message on."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after a message."""

    apply: Sequence[bytes] = ()
    """Payloads, in their order."""
    forget: bool = False
    """Forget what the engine has said, before that."""
    ask_from: int | None = None
    """Ask the engine for its messages from this number on."""


@dataclass(slots=True)
class Stream:
    """Puts the messages of one engine in order; it does no input and no output."""

    can_replay: bool
    """Whether the engine can be asked for lost messages."""
    _heard_all: bool = False
    _next: int | None = None
    """The number that is expected; ``None`` before the first message."""
    _published: int | None = None
    """The highest number that was published since it began, not sent again."""
    _asked_from: int | None = None
    """The number that was asked from last."""
    _waiting: dict[int, bytes] = field(default_factory=dict)
    """Messages after a gap, by number."""

    @property
    def coverage(self) -> Coverage:
        """What is known by it now."""
        if self._next is None:
            return Coverage.NOTHING
        return Coverage.ALL if self._heard_all and not self._waiting else Coverage.PART

    def missed(self) -> None:
        """Take note that a message could not be understood, or not all of it kept."""
        self._heard_all = False

    def received(self, number: int, payload: bytes, *, is_again: bool = False) -> Step:
        """Take in a message, as it was published, or sent again to who asked."""
        is_older = self._published is not None and number <= self._published
        if not is_again:
            self._published = number
        if self._next is None:
            return self._first(number, payload)
        if number < self._next:
            # Published after a later one: it counts from the beginning again, another process with an empty cache.
            # What was sent again may well be published after that, once.
            return self._begin_again(number, payload) if is_older and not is_again else Step()
        if number > self._next:
            return self._after_gap(number, payload)
        self._next += 1
        return Step(apply=[payload, *self._caught_up()])

    def asked(self, number: int) -> None:
        """Take note that messages are asked for, from a number on."""
        self._asked_from = number

    def replay_ended(self, *, is_whole: bool) -> Step:
        """Take note that no more is sent again: what is still missing is asked for once more, or lost.

        ``is_whole``: the engine said so; else it stopped, as some do when much is asked for. An engine that keeps
        nothing at all has said nothing yet.
        """
        has_progressed = self._next is not None and self._asked_from is not None and self._next > self._asked_from
        if has_progressed and (self._waiting or not is_whole):
            return Step(ask_from=self._next)
        if self._waiting:
            return self._lost()
        if not is_whole:
            self._heard_all = False
        elif self._next is None:
            self._next, self._heard_all = 0, True
        return Step()

    def _begin_again(self, number: int, payload: bytes) -> Step:
        self._waiting.clear()
        begun = self._first(number, payload)
        return Step(apply=begun.apply, forget=True, ask_from=begun.ask_from)

    def _lost(self) -> Step:
        """Go on after a gap that stays."""
        self._heard_all = False
        self._next = min(self._waiting)
        payloads = self._caught_up()
        return Step(apply=payloads, forget=True, ask_from=self._next if self._waiting else None)

    def _first(self, number: int, payload: bytes) -> Step:
        self._heard_all = number == 0 or self.can_replay
        first = 0 if self._heard_all else number
        self._next = first
        if number > first:
            return self._after_gap(number, payload)
        self._next += 1
        return Step(apply=[payload])

    def _after_gap(self, number: int, payload: bytes) -> Step:
        is_new = not self._waiting
        self._waiting[number] = payload
        if not self.can_replay or len(self._waiting) > MAX_WAITING:
            return self._lost()
        return Step(ask_from=self._next) if is_new else Step()

    def _caught_up(self) -> list[bytes]:
        """Return the messages that were waiting for those before them."""
        payloads = []
        while self._next in self._waiting:
            payloads.append(self._waiting.pop(self._next))
            self._next += 1
        return payloads
