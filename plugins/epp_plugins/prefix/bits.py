"""Sets of endpoints as the bits of a number, each endpoint in a slot of its own."""

from collections.abc import Iterator


def bits(mask: int) -> Iterator[int]:
    """Yield the slots whose bits are set; by their digits, since arithmetic on a thousand bits costs more."""
    digits = bin(mask)[:1:-1]
    slot = digits.find("1")
    while slot >= 0:
        yield slot
        slot = digits.find("1", slot + 1)
