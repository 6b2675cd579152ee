"""Clients that behave like chat users: groups share a system prompt, conversations grow turn by turn."""

import asyncio
import random
import time
from dataclasses import dataclass

import aiohttp

from epp.demo.stack import MODEL
from epp.simulator.api import POD_HEADER

SYSTEM_PROMPTS = 6
SYSTEM_PROMPT_WORDS = 600
TURNS = 4
CLIENTS = 8
THINK_S = 0.2
OUTPUT_TOKENS = 12
_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request went."""

    served_by: str
    """The name that the model server gave itself; empty when none answered."""
    first_byte_s: float
    error: str | None = None


async def drive(url: str, outcomes: list[Outcome], *, seed: int = 0) -> None:
    """Send conversations to ``url`` until cancelled, some clients side by side."""
    rng = random.Random(seed)  # noqa: S311 - made-up text
    prompts = [_text(rng, SYSTEM_PROMPT_WORDS) for _ in range(SYSTEM_PROMPTS)]
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_client(http, url, prompts, outcomes=outcomes, rng=random.Random(seed + number)))  # noqa: S311


async def _client(
    http: aiohttp.ClientSession, url: str, prompts: list[str], *, outcomes: list[Outcome], rng: random.Random
) -> None:
    while True:
        messages = [{"role": "system", "content": rng.choice(prompts)}]
        for _ in range(TURNS):
            messages.append({"role": "user", "content": _text(rng, 30)})
            outcomes.append(await _ask(http, url, messages))
            messages.append({"role": "assistant", "content": f"This was answer {len(messages)}."})
            await asyncio.sleep(rng.expovariate(1 / THINK_S))


async def _ask(http: aiohttp.ClientSession, url: str, messages: list[dict[str, str]]) -> Outcome:
    """Send one streamed request and return how it went."""
    body = {"model": MODEL, "messages": messages, "max_tokens": OUTPUT_TOKENS, "stream": True}
    started = time.monotonic()
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            first = await response.content.readline()
            first_byte_s = time.monotonic() - started
            text = (first + await response.read()).decode(errors="replace")
    except aiohttp.ClientError as error:
        return Outcome("", time.monotonic() - started, repr(error))
    is_ok = response.status == 200  # noqa: PLR2004 - OK
    failure = None if is_ok else f"status {response.status}: {text[:200]}"
    return Outcome(response.headers.get(POD_HEADER, ""), first_byte_s, failure)


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(words))
