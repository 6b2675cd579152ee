"""The simulated engine is slow where a real one is: exact, because time is virtual."""

import asyncio

import pytest

from epp.simulator import Engine, EngineSettings
from epp.simulator.engine import BlockCache
from tests.fakes import virtual_time

SETTINGS = EngineSettings(
    prefill_tokens_per_second=100, decode_tokens_per_second=10, max_running=2, block_size_tokens=4, block_count=100
)
PROMPT = b"0123456789abcdef" * 25
"""400 bytes: 100 tokens, 25 blocks."""


async def first_token_and_end_s(engine: Engine, prompt: bytes = PROMPT, tokens: int = 5) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with engine.admitted(prompt, tokens) as running:
        first_s = None
        async for _ in running.tokens():
            first_s = loop.time() - started if first_s is None else first_s
    assert first_s is not None
    return first_s, loop.time() - started


def test_first_token_comes_after_the_prefill_and_the_others_at_decode_speed() -> None:
    async def main() -> tuple[float, float]:
        return await first_token_and_end_s(Engine(SETTINGS))

    assert virtual_time.run(main()) == pytest.approx((1.0, 1.4))


def test_cached_prompt_costs_one_token_of_prefill() -> None:
    async def main() -> tuple[float, int]:
        engine = Engine(SETTINGS)
        await first_token_and_end_s(engine)
        first_s, _ = await first_token_and_end_s(engine)
        return first_s, engine.counters.cached_tokens

    first_s, cached_tokens = virtual_time.run(main())
    assert first_s == pytest.approx(0.01)
    assert cached_tokens == 99


def test_shared_beginning_is_cached_in_whole_blocks() -> None:
    async def main() -> int:
        engine = Engine(SETTINGS)
        await first_token_and_end_s(engine)
        async with engine.admitted(PROMPT[:210] + b"-" * 190, 1) as running:
            return running.cached_tokens

    assert virtual_time.run(main()) == 52


def test_requests_wait_in_order_for_the_prompts_before_them_and_for_a_place_in_the_batch() -> None:
    """The first is computed until 1.0 s, the second until 2.0 s; a place is free again when the first ends at 1.4 s."""

    async def main() -> tuple[list[tuple[int, int]], list[float]]:
        engine = Engine(SETTINGS)
        seen: list[tuple[int, int]] = []
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(first_token_and_end_s(engine, bytes([i]) * 400)) for i in range(3)]
            for _ in range(3):
                await asyncio.sleep(0.7)
                seen.append((engine.running, engine.waiting))
        return seen, [run.result()[0] for run in runs]

    seen, first_tokens = virtual_time.run(main())
    assert seen == [(1, 2), (2, 1), (2, 0)]
    assert first_tokens == pytest.approx([1.0, 2.0, 3.0])


def test_client_that_goes_away_frees_its_place() -> None:
    async def main() -> tuple[int, int, float]:
        engine = Engine(SETTINGS)
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(first_token_and_end_s(engine, bytes([i]) * 400)) for i in range(4)]
            await asyncio.sleep(0.5)
            for run in runs:
                run.cancel()
        return engine.running, engine.waiting, engine.kv_cache_ratio

    assert virtual_time.run(main()) == (0, 0, 0.0)


def test_cache_use_is_what_running_requests_hold() -> None:
    async def main() -> float:
        engine = Engine(SETTINGS)
        async with engine.admitted(PROMPT, 20):
            return engine.kv_cache_ratio

    assert virtual_time.run(main()) == pytest.approx(0.30)


def test_least_recently_used_block_goes_first_and_a_tail_before_its_head() -> None:
    cache = BlockCache(4)
    cache.insert([1, 2, 3])
    cache.insert([10, 11])
    assert cache.match([1, 2, 3]) == 2
    cache.insert([20, 21, 22])
    assert (cache.match([1, 2, 3]), cache.match([10, 11])) == (0, 1)
