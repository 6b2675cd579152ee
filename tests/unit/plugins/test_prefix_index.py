"""The index agrees with a slow and obvious oracle, and keeps its bound."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from epp_plugins.prefix import PrefixIndex, chain
from epp_plugins.prefix.hashing import prompt_seed

CAPACITY = 6
ENDPOINTS = st.sampled_from(["a", "b", "c"])
CHAINS = st.lists(st.integers(0, 1), max_size=8).map(
    lambda path: [hash(tuple(path[: i + 1])) for i in range(len(path))]
)
"""Chains over a two-letter alphabet, so that they often share beginnings; each hash stands for the path up to it."""


class IndexAgainstOracle(RuleBasedStateMachine):
    """The oracle: for each endpoint a list of blocks, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.index: PrefixIndex[str] = PrefixIndex(CAPACITY)
        self.oracle: dict[str, list[int]] = {}

    @rule(endpoint=ENDPOINTS, blocks=CHAINS)
    def insert(self, endpoint: str, blocks: list[int]) -> None:
        self.index.insert(endpoint, blocks)
        kept = [block for block in self.oracle.get(endpoint, []) if block not in blocks] + blocks[::-1]
        self.oracle[endpoint] = kept[-CAPACITY:]

    @rule(endpoint=ENDPOINTS)
    def remove(self, endpoint: str) -> None:
        self.index.remove(endpoint)
        self.oracle.pop(endpoint, None)

    @rule(blocks=CHAINS)
    def match(self, blocks: list[int]) -> None:
        expected = {}
        for endpoint, kept in self.oracle.items():
            depth = next((i for i, block in enumerate(blocks) if block not in kept), len(blocks))
            if depth:
                expected[endpoint] = depth
        assert self.index.match(blocks) == expected

    @invariant()
    def is_as_large_as_the_oracle_and_never_larger(self) -> None:
        assert len(self.index) == sum(map(len, self.oracle.values()))
        assert all(len(kept) <= CAPACITY for kept in self.oracle.values())
        assert set(self.index._masks) == {block for kept in self.oracle.values() for block in kept}


TestIndexAgainstOracle = IndexAgainstOracle.TestCase
TestIndexAgainstOracle.settings = settings(max_examples=200, stateful_step_count=30)


def test_match_is_contiguous_from_the_first_block() -> None:
    index: PrefixIndex[str] = PrefixIndex(100)
    index.insert("a", [1, 2, 3, 4])
    assert index.match([1, 2, 9, 4]) == {"a": 2}
    assert index.match([9, 2, 3, 4]) == {}


def test_tail_of_a_chain_is_evicted_before_its_head() -> None:
    index: PrefixIndex[str] = PrefixIndex(4)
    index.insert("a", [1, 2, 3, 4])
    index.insert("a", [10, 11])
    assert index.match([1, 2, 3, 4]) == {"a": 2}
    assert index.match([10, 11]) == {"a": 2}


def test_chain_longer_than_the_capacity_keeps_its_head() -> None:
    index: PrefixIndex[str] = PrefixIndex(3)
    index.insert("a", list(range(1, 10)))
    assert index.match(list(range(1, 10))) == {"a": 3}


def test_place_of_a_removed_endpoint_is_used_again_without_its_blocks() -> None:
    index: PrefixIndex[str] = PrefixIndex(10)
    for number in range(100):
        index.insert(f"pod-{number}", [1, 2])
        index.remove(f"pod-{number}")
    index.insert("new", [7])
    assert index.match([1, 2]) == {}
    assert index.match([7]) == {"new": 1}
    assert max(index._masks.values()) == 1


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
