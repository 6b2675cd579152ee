"""The index agrees with a slow and obvious oracle, and keeps its bounds."""

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from epp_plugins.prefix import PrefixIndex, chain
from epp_plugins.prefix.hashing import prompt_seed
from epp_plugins.prefix.index import BLOCK_BYTES, OWNER_BYTES, RUN_BYTES
from epp_plugins.prefix.runs import Run
from epp_plugins.prefix.shelves import Claim

CAPACITY = 6
HUGE = 1 << 40
ENDPOINTS = st.sampled_from(["a", "b", "c"])


def hashes_of(path: Sequence[int]) -> list[int]:
    """Return a number for each beginning of a path over two letters: 1, then its letters as binary digits."""
    return [int("1" + "".join(map(str, path[: i + 1])), 2) for i in range(len(path))]


CHAINS = st.lists(st.integers(0, 1), max_size=8).map(hashes_of)
"""Chains that often share beginnings."""


def runs_of(index: PrefixIndex[str]) -> Iterator[Run]:
    todo = [index._root]
    while todo:
        run = todo.pop()
        todo.extend((run.children or {}).values())
        if run.parent is not None:
            yield run


class IndexAgainstOracle(RuleBasedStateMachine):
    """The oracle: for each endpoint a list of blocks, oldest first, and those of them that are not confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.index: PrefixIndex[str] = PrefixIndex(
            capacity_of=lambda endpoint: self.capacity.get(endpoint, CAPACITY), max_bytes=HUGE
        )
        self.kept: dict[str, list[int]] = {}
        self.unconfirmed: dict[str, set[int]] = {}
        self.capacity: dict[str, int] = {}
        self.claims: list[tuple[Claim, str, list[int], list[int]]] = []
        """Claim, endpoint, chain, and the endpoint's list, which is another one after it was removed."""

    @rule(endpoint=ENDPOINTS, blocks=CHAINS)
    def insert(self, endpoint: str, blocks: list[int]) -> None:
        claim = self.index.insert(endpoint, blocks)
        if claim is None:
            assert not blocks
            return
        before = self.kept.setdefault(endpoint, [])
        self.unconfirmed.setdefault(endpoint, set()).update(set(blocks) - set(before))
        before[:] = [block for block in before if block not in blocks] + blocks[::-1]
        self.shrink(endpoint)
        self.claims.append((claim, endpoint, blocks, before))

    @rule(endpoint=ENDPOINTS, capacity=st.integers(1, CAPACITY))
    def resize(self, endpoint: str, capacity: int) -> None:
        self.index.resize(endpoint, capacity)
        self.capacity[endpoint] = capacity
        self.kept.setdefault(endpoint, [])
        self.shrink(endpoint)

    def shrink(self, endpoint: str) -> None:
        kept = self.kept[endpoint]
        del kept[: max(0, len(kept) - self.capacity.get(endpoint, CAPACITY))]
        self.unconfirmed.setdefault(endpoint, set()).intersection_update(kept)

    @rule(endpoint=ENDPOINTS)
    def remove(self, endpoint: str) -> None:
        self.index.remove(endpoint)
        for known in (self.kept, self.unconfirmed):
            known.pop(endpoint, None)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        claim, endpoint, blocks, kept = data.draw(st.sampled_from(self.claims))
        reached = self.reached(claim)
        self.index.confirm(claim)
        if self.kept.get(endpoint) is kept:
            self.unconfirmed[endpoint].difference_update(reached.intersection(blocks))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """The blocks go that only this chain goes on to, from its end up to the first one that is confirmed."""
        claim, endpoint, blocks, kept = data.draw(st.sampled_from(self.claims))
        reached = self.reached(claim)
        self.index.withdraw(claim)
        if self.kept.get(endpoint) is not kept:
            return
        for block in reversed(blocks):
            if block in kept:
                is_claimed = block in reached and block in self.unconfirmed[endpoint]
                if not is_claimed or self.has_child(kept, block):
                    break
                kept.remove(block)

    def reached(self, claim: Claim) -> set[int]:
        """The blocks that a claim still stands for: not those that everybody lost, and someone got again since."""
        there = set(runs_of(self.index))
        run: Run | None = claim.run()
        blocks: set[int] = set()
        while run is not None:
            blocks.update(run.hashes if run in there else ())
            run = run.parent
        return blocks

    def has_child(self, kept: list[int], block: int) -> bool:
        return any(one >> 1 == block for one in kept)

    @rule(blocks=CHAINS)
    def match(self, blocks: list[int]) -> None:
        expected = {}
        for endpoint, kept in self.kept.items():
            depth = next((i for i, block in enumerate(blocks) if block not in kept), len(blocks))
            if depth:
                expected[endpoint] = depth
        assert self.index.match(blocks) == expected

    @invariant()
    def is_as_large_as_the_oracle_and_never_larger(self) -> None:
        assert len(self.index) == sum(map(len, self.kept.values()))
        for endpoint, kept in self.kept.items():
            assert self.index.blocks_of(endpoint) == len(kept) <= self.capacity.get(endpoint, CAPACITY)

    @invariant()
    def counts_what_it_holds(self) -> None:
        runs = list(runs_of(self.index))
        blocks, owned = sum(len(run.hashes) for run in runs), sum(len(run.used) for run in runs)
        assert self.index.bytes_used == blocks * BLOCK_BYTES + len(runs) * RUN_BYTES + owned * OWNER_BYTES
        assert all(run.full or run.partial for run in runs), "a run that nobody has"


TestIndexAgainstOracle = IndexAgainstOracle.TestCase
TestIndexAgainstOracle.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def index_of(capacity_blocks: int = 1000, *, max_bytes: int = HUGE) -> PrefixIndex[str]:
    return PrefixIndex(capacity_of=lambda _: capacity_blocks, max_bytes=max_bytes)


def test_match_is_contiguous_from_the_first_block() -> None:
    index = index_of()
    index.insert("a", [1, 2, 3, 4])
    assert index.match([1, 2, 9, 8]) == {"a": 2}
    assert index.match([9, 8, 7, 6]) == {}


def test_tail_of_a_chain_is_evicted_before_its_head() -> None:
    index = index_of(4)
    index.insert("a", [1, 2, 3, 4])
    index.insert("a", [10, 11])
    assert index.match([1, 2, 3, 4]) == {"a": 2}
    assert index.match([10, 11]) == {"a": 2}


def test_chain_longer_than_the_capacity_keeps_its_head() -> None:
    index = index_of(3)
    index.insert("a", list(range(1, 10)))
    assert index.match(list(range(1, 10))) == {"a": 3}


def test_one_endpoints_eviction_leaves_the_others_theirs() -> None:
    index = index_of(4)
    for endpoint in ("a", "b"):
        index.insert(endpoint, [1, 2, 3, 4])
    index.insert("a", [10, 11, 12])
    assert index.match([1, 2, 3, 4]) == {"a": 1, "b": 4}


def test_removed_endpoint_matches_nothing_at_once_and_costs_nothing_in_the_end() -> None:
    index = index_of()
    for number in range(50):
        index.insert("gone", [number * 10 + 1, number * 10 + 2])
    index.remove("gone")
    assert index.match([1, 2]) == {}
    assert len(index) == 0
    for number in range(50):
        index.insert("here", [7000 + number])
    assert {slot for run in runs_of(index) for slot in run.used} == {1}
    index.insert("new", [1])
    assert index._by_slot[0] is index._shelves["new"]


def test_endpoint_that_comes_back_has_nothing() -> None:
    index = index_of()
    index.insert("a", [1, 2])
    index.remove("a")
    index.insert("a", [5])
    assert index.match([1, 2]) == {}
    assert index.match([5]) == {"a": 1}


def test_withdrawal_leaves_what_was_claimed_beyond_it_after_it_was_evicted() -> None:
    index = index_of(2)
    index.insert("a", [1, 2])
    first = index.insert("b", [1])
    assert first is not None
    index.insert("b", [10, 11])
    index.insert("b", [1, 2])
    index.withdraw(first)
    assert index.match([1, 2]) == {"a": 2, "b": 2}


def test_claim_of_an_endpoint_that_has_left_says_nothing_of_the_next_one() -> None:
    index = index_of()
    claim = index.insert("a", [1, 2])
    assert claim is not None
    index.remove("a")
    for number in range(3):
        index.insert("b", [1, 2, number + 10])
    index.withdraw(claim)
    assert index.match([1, 2]) == {"b": 2}


def test_what_was_refused_is_not_believed_and_what_was_there_before_is() -> None:
    index = index_of()
    first = index.insert("a", [1, 2])
    assert first is not None
    index.confirm(first)
    second = index.insert("a", [1, 2, 3, 4])
    assert second is not None
    index.withdraw(second)
    assert index.match([1, 2, 3, 4]) == {"a": 2}


def test_oldest_goes_from_all_endpoints_when_there_is_no_more_room() -> None:
    room = 20 * (RUN_BYTES + OWNER_BYTES + 4 * BLOCK_BYTES)
    index = index_of(max_bytes=room)
    for number in range(100):
        index.insert(f"pod-{number % 5}", [number * 10 + i for i in range(4)])
        assert index.bytes_used <= room
    assert index.match([990, 991, 992, 993]) == {"pod-4": 4}
    assert index.match([0, 1, 2, 3]) == {}


def test_uses_of_a_hot_prefix_do_not_pile_up() -> None:
    index = index_of()
    for _ in range(10_000):
        index.insert("a", [1, 2, 3])
    assert len(index._shelves["a"].uses) < 100


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=50), st.integers(1, 40))
def test_chains_agree_exactly_as_far_as_whole_blocks_do(content: bytes, change: bytes, block_bytes: int) -> None:
    def blocks_of(text: bytes) -> list[int]:
        return chain(7, text, block_bytes=block_bytes, max_blocks=1000)

    other = content[: len(content) // 2] + change
    ours, theirs = blocks_of(content), blocks_of(other)
    assert len(ours) == len(content) // block_bytes
    same_bytes = next(
        (i for i, (a, b) in enumerate(zip(content, other, strict=False)) if a != b), min(len(content), len(other))
    )
    shared = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    assert shared == min(same_bytes // block_bytes, len(ours), len(theirs))


def test_prompt_is_looked_at_up_to_a_bound() -> None:
    assert len(chain(0, b"x" * 10_000, block_bytes=10, max_blocks=5)) == 5


def test_models_share_no_blocks() -> None:
    prompt = b"x" * 64
    one, two = (chain(prompt_seed(model), prompt, block_bytes=64, max_blocks=1) for model in ("a", "b"))
    assert one != two


def test_blocks_that_were_withdrawn_take_no_memory() -> None:
    index = index_of()
    for number in range(50):
        claim = index.insert("a", [number * 1000 + i for i in range(500)])
        assert claim is not None
        index.withdraw(claim)
    assert all(not run.hashes for run, _ in index._shelves["a"].uses)


def test_chain_that_grew_block_by_block_is_swept_without_walking_it_each_time() -> None:
    """A walk to the root for each old use would take minutes here."""
    index = index_of(100_000)
    chain_of_blocks = list(range(1, 3000))
    for end in range(1, len(chain_of_blocks)):
        index.insert("a", chain_of_blocks[:end])
    index.insert("a", chain_of_blocks)
    index._shelves["a"].forget_old_uses()
    assert index.match(chain_of_blocks) == {"a": len(chain_of_blocks)}
