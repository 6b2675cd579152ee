"""Chained block hashes."""

from xxhash import xxh3_64_intdigest


def chain(seed: int, content: bytes, *, block_bytes: int, max_blocks: int) -> list[int]:
    """Return one 64-bit hash for each whole block of ``content``, each covering all blocks before it.

    The hash of a block is seeded by the hash of the block before it, the first by ``seed``. A last block that is not
    whole has none: engines cache whole blocks only.
    """
    blocks = min(len(content) // block_bytes, max_blocks)
    previous = seed
    return [
        previous := xxh3_64_intdigest(content[start : start + block_bytes], previous)
        for start in range(0, blocks * block_bytes, block_bytes)
    ]


def prompt_seed(model: str, cache_salt: str = "") -> int:
    """Return the chain seed of a model and a salt: with another one of either, the same prompt shares no cache."""
    seed = xxh3_64_intdigest(model.encode(errors="surrogatepass"))
    return xxh3_64_intdigest(cache_salt.encode(errors="surrogatepass"), seed) if cache_salt else seed
