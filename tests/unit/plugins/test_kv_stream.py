"""A stream of events is in order and without gaps, or begun anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp_plugins.kvevents import stream as module
from epp_plugins.kvevents.stream import Step, Stream, Trust


def payload(number: int) -> bytes:
    return b"%d" % number


def trust_in(stream: Stream) -> Trust:
    return stream.trust


def feed(stream: Stream, *numbers: int, is_again: bool = False) -> list[Step]:
    return [stream.received(number, payload(number), is_again=is_again) for number in numbers]


def test_stream_that_is_heard_from_the_first_message_on_says_everything() -> None:
    stream = Stream(can_replay=False)
    assert trust_in(stream) is Trust.NOTHING
    assert feed(stream, 0, 1, 2) == [Step(apply=[payload(i)]) for i in range(3)]
    assert trust_in(stream) is Trust.ALL


def test_stream_that_is_heard_from_the_middle_says_a_part() -> None:
    stream = Stream(can_replay=False)
    assert feed(stream, 7, 8) == [Step(apply=[payload(7)]), Step(apply=[payload(8)])]
    assert trust_in(stream) is Trust.PART


def test_what_was_before_is_asked_for_where_the_engine_sends_it_again() -> None:
    stream = Stream(can_replay=True)
    assert feed(stream, 2) == [Step(ask_from=0)]
    assert trust_in(stream) is Trust.PART
    assert feed(stream, 0, 1, is_again=True) == [Step(apply=[payload(0)]), Step(apply=[payload(1), payload(2)])]
    assert stream.replay_ended(is_whole=True) == Step()
    assert trust_in(stream) is Trust.ALL


def test_engine_that_has_said_nothing_yet_is_heard_from_the_first_message_on() -> None:
    stream = Stream(can_replay=True)
    stream.replay_ended(is_whole=False)
    assert trust_in(stream) is Trust.NOTHING
    stream.replay_ended(is_whole=True)
    assert trust_in(stream) is Trust.ALL
    assert feed(stream, 0) == [Step(apply=[payload(0)])]


def test_gap_is_asked_for_once_and_closed() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0)
    assert feed(stream, 3, 4) == [Step(ask_from=1), Step()]
    assert feed(stream, 1, 2) == [Step(apply=[payload(1)]), Step(apply=[payload(2), payload(3), payload(4)])]
    assert trust_in(stream) is Trust.ALL


def test_gap_that_cannot_be_closed_begins_anew() -> None:
    stream = Stream(can_replay=False)
    assert feed(stream, 0, 2) == [Step(apply=[payload(0)]), Step(apply=[payload(2)], forget=True)]
    assert trust_in(stream) is Trust.PART


def test_engine_that_no_longer_keeps_what_is_missing_begins_anew() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0, 5, 3)
    assert stream.replay_ended(is_whole=True) == Step(apply=[payload(3)], forget=True, ask_from=4)
    assert feed(stream, 4) == [Step(apply=[payload(4), payload(5)])]
    assert trust_in(stream) is Trust.PART


def test_engine_that_counts_from_the_beginning_again_is_a_new_one() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 5, 6)
    assert feed(stream, 0) == [Step(apply=[payload(0)], forget=True)]
    assert feed(stream, 1) == [Step(apply=[payload(1)])]
    assert trust_in(stream) is Trust.ALL


def test_message_that_comes_twice_counts_once() -> None:
    stream = Stream(can_replay=True)
    feed(stream, 0, 1)
    assert feed(stream, 1, is_again=True) == [Step()]


def test_new_engine_whose_first_message_was_not_heard_is_noticed() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 0, 1, 2)
    assert feed(stream, 1) == [Step(apply=[payload(1)], forget=True)]
    assert trust_in(stream) is Trust.PART


def test_number_that_makes_no_sense_does_not_end_the_stream() -> None:
    stream = Stream(can_replay=False)
    feed(stream, 0, 2**63)
    assert feed(stream, 1, 2)[1] == Step(apply=[payload(2)])


def test_messages_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    stream = Stream(can_replay=True)
    steps = feed(stream, 0, 2, 3, 4, 5)
    assert steps[-1] == Step(apply=[payload(i) for i in (2, 3, 4, 5)], forget=True)


@given(st.booleans(), st.lists(st.integers(0, 12) | st.none(), max_size=40))
def test_what_is_applied_is_in_order_and_whole_since_the_last_time_it_was_forgotten(
    can_replay: bool,  # noqa: FBT001 - drawn
    numbers: list[int | None],
) -> None:
    """``None`` stands for the end of a replay."""
    stream = Stream(can_replay=can_replay)
    applied: list[int] = []
    for number in numbers:
        step = stream.replay_ended(is_whole=True) if number is None else stream.received(number, payload(number))
        if step.forget:
            applied = []
        applied += [int(one) for one in step.apply]
        assert applied == list(range(applied[0], applied[0] + len(applied))) if applied else True
        if trust_in(stream) is Trust.ALL:
            assert not applied or applied[0] == 0
