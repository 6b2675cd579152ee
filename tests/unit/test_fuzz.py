"""A short run of the fuzzer; `make fuzz` is the long one."""

import pytest

from tests.fuzz.targets import TARGETS, run


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_inputs_are_read_or_refused(target: str) -> None:
    run(target, seed=10_000_000, count=3_000)
