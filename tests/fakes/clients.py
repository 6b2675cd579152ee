"""Clients that want every request answered, whatever is done to the picker meanwhile."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

CLIENTS = 20


def long_answer(events: int) -> list[bytes]:
    """Return the events of an answer that clients can tell to be whole."""
    return [b"data: %d\n\n" % number for number in range(events)] + [b"data: [DONE]\n\n"]


@dataclass
class Load:
    """Clients that send one request after the other, each fifth of them one with a long answer."""

    url: str
    statuses: Counter[int | str] = field(default_factory=Counter)
    is_over: bool = False

    async def run(self) -> None:
        """Send requests until it is over."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(http, number))

    async def _client(self, http: aiohttp.ClientSession, number: int) -> None:
        path = "/v1/sse/completions" if number % 5 == 0 else "/v1/completions"
        while not self.is_over:
            try:
                async with http.post(self.url + path, data=b'{"model": "m", "prompt": "%d"}' % number) as response:
                    content = await response.read()
                is_whole = content.endswith(b"[DONE]\n\n") or number % 5
                self.statuses[response.status if is_whole else "torn"] += 1
            except aiohttp.ClientError as error:
                self.statuses[repr(error)] += 1
            await asyncio.sleep(0.01)
