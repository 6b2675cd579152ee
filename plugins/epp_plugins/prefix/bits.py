"""Sets of endpoints as the bits of a number, each endpoint in a slot of its own."""

from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=128)
def bits(mask: int) -> Sequence[int]:
    """Return the slots whose bits are set; by their digits, since arithmetic on a thousand bits costs more."""
    return tuple([slot for slot, digit in enumerate(bin(mask)[:1:-1]) if digit == "1"])
