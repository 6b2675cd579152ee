"""A stream of events is in order and without gaps, or begun anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp_plugins.kvevents import stream as module
from epp_plugins.kvevents.stream import Coverage, Step, Stream


def payload(number: int) -> bytes:
    return b"%d" % number


def coverage_of(stream: Stream) -> Coverage:
    return stream.coverage


def feed(stream: Stream, *numbers: int, is_again: bool = False) -> list[Step]:
    return [stream.received(number, payload(number), is_again=is_again) for number in numbers]


def test_stream_that_is_heard_from_the_first_message_on_says_everything() -> None:
    stream = Stream(can_replay=False)
    assert coverage_of(stream) is Coverage.NOTHING
    assert feed(stream, 0, 1, 2) == [Step(apply=[payload(i)]) for i in range(3)]
    assert coverage_of(stream) is Coverage.ALL


def test_stream_that_is_heard_from_the_middle_says_a_part() -> None:
    stream = Stream(can_replay=False)
    assert feed(stream, 7, 8) == [Step(apply=[payload(7)]), Step(apply=[payload(8)])]
    assert coverage_of(stream) is Coverage.PART


def test_what_was_before_is_asked_for_where_the_engine_sends_it_again() -> None:
    stream = Stream(can_replay=True)
    assert feed(stream, 2) == [Step(ask_from=0)]
    assert coverage_of(stream) is Coverage.PART
    assert feed(stream, 0, 1, is_again=True) == [Step(apply=[payload(0)]), Step(apply=[payload(1), payload(2)])]
    assert stream.replay_ended(is_whole=True) == Step()
    assert coverage_of(stream) is Coverage.ALL


def test_engine_that_has_said_nothing_yet_is_heard_from_the_first_message_on() -> None:
    stream = Stream(can_replay=True)
    stream.replay_ended(is_whole=False)
    assert coverage_of(stream) is Coverage.NOTHING
    stream.replay_ended(is_whole=True)
    assert coverage_of(stream) is Coverage.ALL
    assert feed(stream, 0) == [Step(apply=[payload(0)])]


def test_gap_is_asked_for_once_and_closed() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0)
    assert feed(stream, 3, 4) == [Step(ask_from=1), Step()]
    assert feed(stream, 1, 2) == [Step(apply=[payload(1)]), Step(apply=[payload(2), payload(3), payload(4)])]
    assert coverage_of(stream) is Coverage.ALL


def test_gap_that_cannot_be_closed_begins_anew() -> None:
    stream = Stream(can_replay=False)
    assert feed(stream, 0, 2) == [Step(apply=[payload(0)]), Step(apply=[payload(2)], forget=True)]
    assert coverage_of(stream) is Coverage.PART


def test_engine_that_no_longer_keeps_what_is_missing_begins_anew() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0, 5, 3)
    assert stream.replay_ended(is_whole=True) == Step(apply=[payload(3)], forget=True, ask_from=4)
    assert feed(stream, 4) == [Step(apply=[payload(4), payload(5)])]
    assert coverage_of(stream) is Coverage.PART


def test_engine_that_counts_from_the_beginning_again_is_a_new_one() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 5, 6)
    assert feed(stream, 0) == [Step(apply=[payload(0)], forget=True)]
    assert feed(stream, 1) == [Step(apply=[payload(1)])]
    assert coverage_of(stream) is Coverage.ALL


def test_message_that_comes_twice_counts_once() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0, 1)
    assert feed(stream, 1, is_again=True) == [Step()]


def test_new_engine_whose_first_message_was_not_heard_is_noticed() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 0, 1, 2)
    assert feed(stream, 1) == [Step(apply=[payload(1)], forget=True)]
    assert coverage_of(stream) is Coverage.PART


def test_number_that_makes_no_sense_does_not_end_the_stream() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 0, 2**63)
    assert feed(stream, 1, 2)[1] == Step(apply=[payload(2)])


def test_messages_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    stream = Stream(can_replay=True)
    steps = feed(stream, 0, 2, 3, 4, 5)
    assert steps[-1] == Step(apply=[payload(i) for i in (2, 3, 4, 5)], forget=True)


def test_message_that_was_sent_again_may_be_published_once_after_that() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0, 1, 2, is_again=True)
    assert feed(stream, 1, 2, 3) == [Step(), Step(), Step(apply=[payload(3)])]
    assert coverage_of(stream) is Coverage.ALL


def test_engine_that_stops_sending_is_asked_again_as_long_as_that_brings_something() -> None:
    stream = Stream(can_replay=True)
    stream.asked(0)
    feed(stream, 0, 1, is_again=True)
    assert stream.replay_ended(is_whole=False) == Step(ask_from=2)
    stream.asked(2)
    assert stream.replay_ended(is_whole=False) == Step()
    assert coverage_of(stream) is Coverage.PART


def test_message_that_was_not_understood_leaves_a_part() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0)
    stream.missed()
    feed(stream, 1)
    assert coverage_of(stream) is Coverage.PART


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 12), st.booleans()) | st.none(), max_size=40))
def test_what_is_applied_is_in_order_and_whole_since_the_last_time_it_was_forgotten(
    can_replay: bool,  # noqa: FBT001 - drawn
    messages: list[tuple[int, bool] | None],
) -> None:
    """A message is a number and whether it is sent again; ``None`` stands for the end of a replay."""
    stream = Stream(can_replay=can_replay)
    applied: list[int] = []
    for message in messages:
        if message is None:
            step = stream.replay_ended(is_whole=True)
        else:
            step = stream.received(message[0], payload(message[0]), is_again=message[1])
        if step.forget:
            applied = []
        applied += [int(one) for one in step.apply]
        assert applied == list(range(applied[0], applied[0] + len(applied))) if applied else True
        if coverage_of(stream) is Coverage.ALL:
            assert not applied or applied[0] == 0


@given(st.integers(0, 20), st.lists(st.integers(0, 3), min_size=1, max_size=10))
def test_replays_that_overlap_with_what_is_published_come_to_an_end(kept: int, between: list[int]) -> None:
    """The engine keeps some messages; before each answer to a question it publishes some more."""
    stream, published = Stream(can_replay=True), kept
    ask: int | None = 0
    for count in [*between, 0]:
        fresh = range(published, published + count)
        published += count
        for number in range(ask if ask is not None else published, published):
            stream.received(number, payload(number), is_again=True)
        steps = [stream.replay_ended(is_whole=True), *feed(stream, *fresh)]
        assert not any(step.forget for step in steps)
        ask = next((step.ask_from for step in steps if step.ask_from is not None), None)
    assert coverage_of(stream) is Coverage.ALL
