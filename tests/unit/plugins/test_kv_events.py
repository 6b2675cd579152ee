"""What engines say about their caches: the messages."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp_plugins.kvevents.events import Cleared, Removed, Stored, read_batch

STORED = {
    "type": "BlockStored",
    "block_hashes": [11, 12],
    "parent_block_hash": None,
    "token_ids": [1, 2, 3, 4],
    "block_size": 2,
    "lora_id": None,
    "medium": "GPU",
    "lora_name": None,
}


def batch(*events: Any, rest: tuple[object, ...] = ()) -> bytes:
    return msgspec.msgpack.encode([1.5, list(events), *rest])


def test_batch_of_maps_is_read() -> None:
    payload = batch(STORED, {"type": "BlockRemoved", "block_hashes": [b"x"], "medium": None, "group_idx": 1}, rest=(0,))
    stored = Stored(hashes=[11, 12], parent=None, tokens=[1, 2, 3, 4], block_tokens=2, medium="GPU")
    assert read_batch(payload) == ([stored, Removed([b"x"], group=1)], [])


def test_batch_of_arrays_is_read() -> None:
    payload = batch(["BlockStored", [11], 10, [1, 2], 2, None], ["AllBlocksCleared"])
    assert read_batch(payload) == ([Stored(hashes=[11], parent=10, tokens=[1, 2], block_tokens=2), Cleared()], [])


def test_adapter_and_extra_keys_are_read() -> None:
    extra = [["my-lora", "salt"], None]
    ((event,), _) = read_batch(batch(STORED | {"lora_name": "my-lora", "extra_keys": extra}))
    assert isinstance(event, Stored)
    assert (event.adapter, event.extra) == ("my-lora", [["my-lora", "salt"], []])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"type": "NewKind"}, id="kind that is not known"),
        pytest.param({"kv_cache_spec_kind": "sliding_window"}, id="attention that does not see everything"),
        pytest.param({"token_ids": [], "block_size": 0}, id="blocks whose tokens are not told"),
    ],
)
def test_event_that_says_nothing_about_prefixes_is_passed_over(changes: dict[str, object]) -> None:
    assert read_batch(batch(STORED | changes)) == ([], [])


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(msgspec.msgpack.encode({"a": 1}), id="no list"),
        pytest.param(msgspec.msgpack.encode([1.0, "events"]), id="no events"),
    ],
)
def test_message_that_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_batch(payload)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(17, id="number"),
        pytest.param(STORED | {"block_size": 0}, id="blocks of nothing"),
        pytest.param(STORED | {"block_size": 2**40}, id="huge blocks"),
        pytest.param(STORED | {"token_ids": [1, 2, 3]}, id="tokens that are too few"),
        pytest.param(STORED | {"token_ids": [1, 2, 3, -4]}, id="token below 0"),
        pytest.param(STORED | {"token_ids": "abcd"}, id="tokens that are text"),
        pytest.param(STORED | {"block_hashes": ["x", "y"]}, id="hashes that are text"),
        pytest.param(STORED | {"parent_block_hash": 1.5}, id="parent that is no hash"),
        pytest.param(STORED | {"extra_keys": [None]}, id="extra keys that are too few"),
        pytest.param(STORED | {"group_idx": [1]}, id="group that is a list"),
        pytest.param(STORED | {"medium": 7}, id="medium that is a number"),
        pytest.param(STORED | {"kv_cache_spec_kind": {}}, id="attention that is a map"),
    ],
)
def test_event_that_makes_no_sense_does_not_hide_the_others(event: object) -> None:
    events, problems = read_batch(batch({"type": "BlockRemoved", "block_hashes": [1]}, event, ["AllBlocksCleared"]))
    assert events == [Removed([1]), Cleared()]
    assert len(problems) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(event, (Stored, Removed, Cleared)) for event in read_batch(payload)[0])
