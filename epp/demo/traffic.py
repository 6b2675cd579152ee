"""Clients that behave like chat users: groups share a system prompt, conversations grow turn by turn."""

import asyncio
import random
import time
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Outcomes:
    """What the clients saw."""

    ttft_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    served_by: dict[str, int] = field(default_factory=dict)


async def drive(url: str, outcomes: Outcomes, *, seed: int = 0) -> None:
    """Send conversations to ``url`` until cancelled, some clients side by side."""
    rng = random.Random(seed)  # noqa: S311 - made-up text
    prompts = [_text(rng, SYSTEM_PROMPT_WORDS) for _ in range(SYSTEM_PROMPTS)]
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_client(http, url, prompts, outcomes=outcomes, rng=random.Random(seed + number)))  # noqa: S311


async def _client(
    http: aiohttp.ClientSession, url: str, prompts: list[str], *, outcomes: Outcomes, rng: random.Random
) -> None:
    while True:
        messages = [{"role": "system", "content": rng.choice(prompts)}]
        for _ in range(TURNS):
            messages.append({"role": "user", "content": _text(rng, 30)})
            answer = await _ask(http, url, messages, outcomes)
            messages.append({"role": "assistant", "content": answer})
            await asyncio.sleep(rng.expovariate(1 / THINK_S))


async def _ask(http: aiohttp.ClientSession, url: str, messages: list[dict[str, str]], outcomes: Outcomes) -> str:
    """Send one streamed request, note how it went, and return the raw answer."""
    body = {"model": MODEL, "messages": messages, "max_tokens": OUTPUT_TOKENS, "stream": True}
    started = time.monotonic()
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            first = await response.content.readline()
            outcomes.ttft_s.append(time.monotonic() - started)
            rest = await response.read()
    except aiohttp.ClientError as error:
        outcomes.errors.append(repr(error))
        return ""
    if response.status != 200:  # noqa: PLR2004 - OK
        outcomes.errors.append(f"status {response.status}: {(first + rest).decode(errors='replace')[:200]}")
    pod = response.headers.get(POD_HEADER, "none")
    outcomes.served_by[pod] = outcomes.served_by.get(pod, 0) + 1
    return f"answer {len(first) + len(rest)}"


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(words))
