"""What engines say about their caches: messages, and the index that they make."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from epp_plugins.kvevents.events import Cleared, Removed, Stored, read_batch
from epp_plugins.kvevents.exact import ExactIndex, token_chain

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
    events = read_batch(batch(STORED, {"type": "BlockRemoved", "block_hashes": [b"x"], "medium": None}, rest=(0,)))
    assert events == [Stored(hashes=[11, 12], parent=None, tokens=[1, 2, 3, 4], block_tokens=2), Removed([b"x"])]


def test_batch_of_arrays_is_read() -> None:
    events = read_batch(batch(["BlockStored", [11], 10, [1, 2], 2, None], ["AllBlocksCleared"]))
    assert events == [Stored(hashes=[11], parent=10, tokens=[1, 2], block_tokens=2), Cleared()]


def test_adapter_and_extra_keys_are_read() -> None:
    extra = [["my-lora", "salt"], None]
    (event,) = read_batch(batch(STORED | {"lora_name": "my-lora", "extra_keys": extra}))
    assert isinstance(event, Stored)
    assert (event.adapter, event.extra) == ("my-lora", [["my-lora", "salt"], []])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"type": "NewKind"}, id="kind that is not known"),
        pytest.param({"kv_cache_spec_kind": "sliding_window"}, id="attention that does not see everything"),
        pytest.param({"group_idx": 1}, id="another group of layers"),
    ],
)
def test_event_that_says_nothing_about_prefixes_is_passed_over(changes: dict[str, object]) -> None:
    assert read_batch(batch(STORED | changes)) == []


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(msgspec.msgpack.encode({"a": 1}), id="no list"),
        pytest.param(msgspec.msgpack.encode([1.0, "events"]), id="no events"),
        pytest.param(batch(17), id="event that is a number"),
        pytest.param(batch(STORED | {"block_size": 0}), id="blocks of nothing"),
        pytest.param(batch(STORED | {"block_size": 2**40}), id="huge blocks"),
        pytest.param(batch(STORED | {"token_ids": [1, 2, 3]}), id="tokens that are too few"),
        pytest.param(batch(STORED | {"token_ids": [1, 2, 3, -4]}), id="token below 0"),
        pytest.param(batch(STORED | {"token_ids": "abcd"}), id="tokens that are text"),
        pytest.param(batch(STORED | {"block_hashes": ["x", "y"]}), id="hashes that are text"),
        pytest.param(batch(STORED | {"parent_block_hash": 1.5}), id="parent that is no hash"),
        pytest.param(batch(STORED | {"extra_keys": [None]}), id="extra keys that are too few"),
        pytest.param(batch(STORED | {"group_idx": [1]}), id="group that is a list"),
        pytest.param(batch(STORED | {"kv_cache_spec_kind": {}}), id="attention that is a map"),
    ],
)
def test_message_that_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_batch(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(event, (Stored, Removed, Cleared)) for event in read_batch(payload))


def stored(tokens: list[int], *, hashes: list[int], parent: int | None = None, **more: Any) -> Stored:
    return Stored(hashes=hashes, parent=parent, tokens=tokens, block_tokens=2, **more)


def test_tokens_of_a_request_match_what_an_engine_has_stored() -> None:
    index: ExactIndex[str] = ExactIndex()
    index.apply("a", stored([1, 2, 3, 4], hashes=[11, 12]))
    index.apply("a", stored([5, 6], hashes=[13], parent=12))
    index.apply("b", stored([1, 2], hashes=[77]))
    assert index.match(token_chain([1, 2, 3, 4, 5, 6, 7], block_tokens=2)) == {"a": 3, "b": 1}
    assert index.match(token_chain([1, 2, 9, 9, 5, 6], block_tokens=2)) == {"a": 1, "b": 1}
    assert index.match(token_chain([9], block_tokens=2)) == {}


def test_block_that_is_removed_ends_the_match_before_it() -> None:
    index: ExactIndex[str] = ExactIndex()
    index.apply("a", stored([1, 2, 3, 4, 5, 6], hashes=[11, 12, 13]))
    index.apply("a", Removed([12, 99]))
    assert index.match(token_chain([1, 2, 3, 4, 5, 6], block_tokens=2)) == {"a": 1}
    index.apply("a", Cleared())
    assert index.match(token_chain([1, 2], block_tokens=2)) == {}
    assert len(index) == 0


def test_block_on_two_devices_is_there_until_both_have_let_it_go() -> None:
    index: ExactIndex[str] = ExactIndex()
    for _ in range(2):
        index.apply("a", stored([1, 2], hashes=[11]))
    chain = token_chain([1, 2], block_tokens=2)
    index.apply("a", Removed([11]))
    assert index.match(chain) == {"a": 1}
    index.apply("a", Removed([11]))
    assert index.match(chain) == {}


def test_blocks_after_one_that_is_not_known_are_passed_over() -> None:
    index: ExactIndex[str] = ExactIndex()
    index.apply("a", stored([3, 4], hashes=[12], parent=11))
    assert len(index) == 0


def test_adapter_and_salt_separate_prompts() -> None:
    index: ExactIndex[str] = ExactIndex()
    index.apply("a", stored([1, 2, 3, 4], hashes=[11, 12], adapter="lora", extra=[["lora", "s"], ["lora"]]))
    assert index.match(token_chain([1, 2, 3, 4], block_tokens=2)) == {}
    assert index.match(token_chain([1, 2, 3, 4], block_tokens=2, adapter="lora")) == {}
    assert index.match(token_chain([1, 2, 3, 4], block_tokens=2, adapter="lora", salt="s")) == {"a": 2}


class ExactAgainstOracle(RuleBasedStateMachine):
    """The oracle: for each engine the token paths that it has, each counted."""

    def __init__(self) -> None:
        super().__init__()
        self.index: ExactIndex[str] = ExactIndex()
        self.has: dict[str, set[tuple[int, ...]]] = {"a": set(), "b": set()}

    @rule(engine=st.sampled_from("ab"), path=st.lists(st.integers(0, 1), min_size=1, max_size=5))
    def store(self, engine: str, path: list[int]) -> None:
        """Store what is missing of a path, as engines do: a stretch at a time, after a block that is there."""
        there = 0
        while there < len(path) and tuple(path[: there + 1]) in self.has[engine]:
            there += 1
        if there == len(path) or any(tuple(path[: i + 1]) in self.has[engine] for i in range(there, len(path))):
            return
        paths = [tuple(path[: i + 1]) for i in range(there, len(path))]
        parent = hash(tuple(path[:there])) if there else None
        tokens = [token for one in path[there:] for token in (one, one)]
        event = Stored(hashes=[hash(one) for one in paths], parent=parent, tokens=tokens, block_tokens=2)
        self.index.apply(engine, event)
        self.has[engine].update(paths)

    @rule(engine=st.sampled_from("ab"), data=st.data())
    def remove(self, engine: str, data: st.DataObject) -> None:
        if self.has[engine]:
            path = data.draw(st.sampled_from(sorted(self.has[engine])))
            self.index.apply(engine, Removed([hash(path)]))
            self.has[engine].remove(path)

    @rule(engine=st.sampled_from("ab"))
    def clear(self, engine: str) -> None:
        self.index.apply(engine, Cleared())
        self.has[engine].clear()

    @rule(path=st.lists(st.integers(0, 1), max_size=6))
    def match(self, path: list[int]) -> None:
        chain = token_chain([token for one in path for token in (one, one)], block_tokens=2)
        expected = {}
        for engine, has in self.has.items():
            depth = next((i for i in range(len(path)) if tuple(path[: i + 1]) not in has), len(path))
            if depth:
                expected[engine] = depth
        assert self.index.match(chain) == expected
        assert len(self.index) == sum(map(len, self.has.values()))


TestExactAgainstOracle = ExactAgainstOracle.TestCase
TestExactAgainstOracle.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
