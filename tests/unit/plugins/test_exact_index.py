"""The index of what engines say about their caches, and of what they are about to have."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from epp_plugins.kvevents.events import Cleared, Removed, Stored
from epp_plugins.kvevents.exact import ExactIndex, ExpectedBlocks, Outcome, token_chain


def stored(tokens: list[int], *, hashes: list[int], parent: int | None = None, **more: Any) -> Stored:
    return Stored(**{"hashes": hashes, "parent": parent, "tokens": tokens, "block_tokens": 2} | more)


def chain_of(tokens: list[int], **more: str) -> Callable[[int], Sequence[int]]:
    return lambda block_tokens: token_chain(tokens, block_tokens=block_tokens, **more)


def make_index(*, max_blocks: int = 1000) -> ExactIndex[str]:
    return ExactIndex(max_blocks=max_blocks)


def test_tokens_of_a_request_match_what_an_engine_has_stored() -> None:
    index = make_index()
    index.apply("a", stored([1, 2, 3, 4], hashes=[11, 12]))
    index.apply("a", stored([5, 6], hashes=[13], parent=12))
    index.apply("b", stored([1, 2], hashes=[77]))
    assert index.match(chain_of([1, 2, 3, 4, 5, 6, 7])) == {"a": 6, "b": 2}
    assert index.match(chain_of([1, 2, 9, 9, 5, 6])) == {"a": 2, "b": 2}
    assert index.match(chain_of([9])) == {}


def test_engines_with_blocks_of_different_sizes_are_matched_each_in_its_own() -> None:
    index = make_index()
    index.apply("a", stored([1, 2], hashes=[11]))
    index.apply("b", stored([1, 2, 3], hashes=[11], block_tokens=3))
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 2, "b": 3}


def test_blocks_of_another_size_than_the_first_are_passed_over_and_said() -> None:
    index = make_index()
    assert index.apply("a", stored([1, 2], hashes=[11]))
    assert not index.apply("a", stored([1, 2, 3, 4], hashes=[12], block_tokens=4))
    assert index.apply("a", stored([3, 4], hashes=[13], parent=11))
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 4}


def test_blocks_of_other_groups_of_layers_say_nothing() -> None:
    index = make_index()
    assert index.apply("a", stored([1, 2], hashes=[11], group=1))
    assert index.apply("a", stored([1, 2], hashes=[11], group=2))
    index.apply("a", Removed([11], group=2))
    assert index.match(chain_of([1, 2])) == {"a": 2}
    index.apply("a", Removed([11], group=1))
    assert index.match(chain_of([1, 2])) == {}


def test_block_that_is_removed_ends_the_match_before_it() -> None:
    index = make_index()
    index.apply("a", stored([1, 2, 3, 4, 5, 6], hashes=[11, 12, 13]))
    index.apply("a", Removed([12, 99]))
    assert index.match(chain_of([1, 2, 3, 4, 5, 6])) == {"a": 2}
    index.apply("a", Cleared())
    assert index.match(chain_of([1, 2])) == {}
    assert len(index) == 0


def test_block_on_two_devices_is_there_until_both_have_let_it_go() -> None:
    index = make_index()
    for medium in ("GPU", "CPU"):
        index.apply("a", stored([1, 2], hashes=[11], medium=medium))
    index.apply("a", Removed([11], medium="GPU"))
    assert index.match(chain_of([1, 2])) == {"a": 2}
    index.apply("a", stored([3, 4], hashes=[12], parent=11, medium="GPU"))
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 4}
    index.apply("a", Removed([11], medium="CPU"))
    assert index.match(chain_of([1, 2])) == {}


def test_block_that_is_reported_again_because_it_is_reused_counts_once() -> None:
    index = make_index()
    for _ in range(3):
        index.apply("a", stored([1, 2], hashes=[11]))
    index.apply("a", Removed([11]))
    assert index.match(chain_of([1, 2])) == {}
    assert len(index) == 0


def test_block_with_two_names_is_there_until_both_are_gone() -> None:
    index = make_index()
    for name in (11, 12):
        index.apply("a", stored([1, 2], hashes=[name]))
    index.apply("a", Removed([11]))
    assert index.match(chain_of([1, 2])) == {"a": 2}
    index.apply("a", Removed([12]))
    assert index.match(chain_of([1, 2])) == {}


def test_blocks_after_one_that_is_not_known_are_passed_over() -> None:
    index = make_index()
    index.apply("a", stored([3, 4], hashes=[12], parent=11))
    assert len(index) == 0


def test_adapter_and_salt_separate_prompts() -> None:
    index = make_index()
    index.apply("a", stored([1, 2, 3, 4], hashes=[11, 12], adapter="lora", extra=[["lora", "s"], ["lora"]]))
    assert index.match(chain_of([1, 2, 3, 4])) == {}
    assert index.match(chain_of([1, 2, 3, 4], adapter="lora")) == {}
    assert index.match(chain_of([1, 2, 3, 4], adapter="lora", salt="s")) == {"a": 4}
    assert index.has_adapter("lora")
    assert not index.has_adapter("")


def test_more_than_the_bound_is_passed_over_and_said() -> None:
    index = make_index(max_blocks=2)
    assert index.apply("a", stored([1, 2, 3, 4], hashes=[11, 12]))
    assert not index.apply("b", stored([1, 2], hashes=[11]))
    assert index.match(chain_of([1, 2])) == {"a": 2}
    assert len(index) == 2


def test_size_of_blocks_is_what_the_engine_says() -> None:
    index = make_index()
    index.expect("a", token_chain([1, 2, 3], block_tokens=3), block_tokens=3)
    assert index.block_tokens("a") is None
    index.apply("a", stored([1, 2], hashes=[11]))
    assert index.block_tokens("a") == 2


def test_blocks_of_a_request_on_its_way_count_until_it_is_over() -> None:
    index = make_index()
    expected = index.expect("a", token_chain([1, 2, 3, 4], block_tokens=2), block_tokens=2)
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 4}
    assert index.release("a", expected) is Outcome.SILENT
    assert index.match(chain_of([1, 2, 3, 4])) == {}


def test_engine_that_names_the_first_new_block_of_a_request_is_heard() -> None:
    index = make_index()
    index.apply("a", stored([1, 2], hashes=[11]))
    expected = index.expect("a", token_chain([1, 2, 3, 4], block_tokens=2), block_tokens=2)
    index.apply("a", stored([3, 4], hashes=[12], parent=11))
    assert index.release("a", expected) is Outcome.NAMED
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 4}


def test_other_requests_do_not_speak_for_a_silent_engine() -> None:
    index = make_index()
    chain = token_chain([1, 2, 3, 4], block_tokens=2)
    first, second = (index.expect("a", chain, block_tokens=2) for _ in range(2))
    assert index.release("a", first) is Outcome.SILENT
    assert index.match(chain_of([1, 2, 3, 4])) == {"a": 4}
    assert index.release("a", second) is Outcome.SILENT


def test_request_that_brought_nothing_new_tells_nothing() -> None:
    index = make_index()
    index.apply("a", stored([1, 2], hashes=[11]))
    expected = index.expect("a", token_chain([1, 2], block_tokens=2), block_tokens=2)
    assert index.release("a", expected) is Outcome.NOTHING_NEW


def test_what_is_expected_of_an_engine_goes_when_it_is_forgotten() -> None:
    index = make_index()
    expected = index.expect("a", token_chain([1, 2], block_tokens=2), block_tokens=2)
    index.forget("a")
    assert index.match(chain_of([1, 2])) == {}
    index.apply("a", stored([1, 2], hashes=[11]))
    assert index.release("a", expected) is Outcome.NOTHING_NEW
    assert index.match(chain_of([1, 2])) == {"a": 2}


def paths_of(path: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple(path[: i + 1]) for i in range(len(path))]


def tokens_of(path: Sequence[int]) -> list[int]:
    return [token for one in path for token in (one, one)]


PATHS = st.lists(st.integers(0, 1), min_size=1, max_size=5)


class ExactAgainstOracle(RuleBasedStateMachine):
    """The oracle: for each engine the token paths that it has, by name; and the paths of requests under way."""

    def __init__(self) -> None:
        super().__init__()
        self.index = make_index()
        self.has: dict[str, set[tuple[tuple[int, ...], int]]] = {"a": set(), "b": set()}
        self.under_way: list[tuple[str, ExpectedBlocks, list[tuple[int, ...]], tuple[int, ...] | None]] = []

    def there(self, engine: str) -> set[tuple[int, ...]]:
        named = {path for path, _ in self.has[engine]}
        return named.union(*(paths for other, _, paths, _ in self.under_way if other == engine))

    @rule(engine=st.sampled_from("ab"), path=PATHS, twin=st.integers(0, 1), known=st.integers(0, 4))
    def store(self, engine: str, path: list[int], twin: int, known: int) -> None:
        """Store the end of a path after a block of it that the engine has named, under one of two sets of names."""
        paths = paths_of(path)
        known = min(known, len(paths) - 1)
        if known and (paths[known - 1], twin) not in self.has[engine]:
            return
        names = [hash((one, twin)) for one in paths[known:]]
        parent = hash((paths[known - 1], twin)) if known else None
        self.index.apply(engine, stored(tokens_of(path[known:]), hashes=names, parent=parent))
        self.has[engine].update((one, twin) for one in paths[known:])

    @rule(engine=st.sampled_from("ab"), data=st.data())
    def remove(self, engine: str, data: st.DataObject) -> None:
        if self.has[engine]:
            name = data.draw(st.sampled_from(sorted(self.has[engine])))
            self.index.apply(engine, Removed([hash(name)]))
            self.has[engine].remove(name)

    @rule(engine=st.sampled_from("ab"), path=PATHS)
    def expect(self, engine: str, path: list[int]) -> None:
        expected = self.index.expect(engine, token_chain(tokens_of(path), block_tokens=2), block_tokens=2)
        first_new = next((one for one in paths_of(path) if not self.names(engine, one)), None)
        self.under_way.append((engine, expected, paths_of(path), first_new))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.under_way:
            engine, expected, _, first_new = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
            named = Outcome.NAMED if first_new and self.names(engine, first_new) else Outcome.SILENT
            assert self.index.release(engine, expected) is (named if first_new else Outcome.NOTHING_NEW)

    def names(self, engine: str, path: tuple[int, ...]) -> bool:
        return any((path, twin) in self.has[engine] for twin in (0, 1))

    @rule(engine=st.sampled_from("ab"))
    def clear(self, engine: str) -> None:
        self.index.apply(engine, Cleared())
        self.has[engine].clear()
        self.under_way = [one for one in self.under_way if one[0] != engine]

    @rule(path=PATHS)
    def match(self, path: list[int]) -> None:
        expected = {}
        for engine in self.has:
            there = self.there(engine)
            depth = next((i for i, one in enumerate(paths_of(path)) if one not in there), len(path))
            if depth:
                expected[engine] = 2 * depth
        assert self.index.match(chain_of(tokens_of(path))) == expected
        assert len(self.index) == sum(map(len, self.has.values()))


TestExactAgainstOracle = ExactAgainstOracle.TestCase
TestExactAgainstOracle.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
