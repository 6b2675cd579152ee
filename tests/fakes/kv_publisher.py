"""An engine's side of KV events: publishes them, and sends them again to who asks, as vLLM does."""

import asyncio

import msgspec
import zmq
import zmq.asyncio

from epp_plugins.kvevents.subscriber import END_OF_REPLAY

TOPIC = b"kv@pod@m"


def removed(*names: int) -> dict[str, object]:
    """Return the event that blocks are gone."""
    return {"type": "BlockRemoved", "block_hashes": list(names), "medium": None}


def stored(tokens: list[int], *, names: list[int], parent: int | None = None) -> dict[str, object]:
    """Return the event that blocks are there."""
    return {
        "type": "BlockStored",
        "block_hashes": names,
        "parent_block_hash": parent,
        "token_ids": tokens,
        "block_size": len(tokens) // len(names),
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
    }


class Publisher:
    """Publishes numbered messages; `keep` makes one that is lost on the way."""

    def __init__(self, sockets: zmq.asyncio.Context, *, address: str, replay_address: str) -> None:
        self._sockets = sockets
        self.address = address
        self.replay_address = replay_address
        self._pub = sockets.socket(zmq.PUB)
        self._pub.bind(address)
        self._router = sockets.socket(zmq.ROUTER)
        self._router.bind(replay_address)
        self.kept: dict[int, bytes] = {}

    def keep(self, number: int, *events: dict[str, object]) -> bytes:
        """Make a message, and keep it to be asked for; without events the removal of a block named as its number."""
        self.kept[number] = msgspec.msgpack.encode([0.0, list(events) or [removed(number)]])
        return self.kept[number]

    async def publish(self, number: int, *events: dict[str, object]) -> None:
        """Make a message and publish it."""
        await self.publish_raw(TOPIC, number.to_bytes(8, "big"), self.keep(number, *events))

    async def publish_raw(self, *parts: bytes) -> None:
        """Publish anything."""
        await self._pub.send_multipart(parts)

    async def answer(self) -> None:
        """Answer whoever asks for messages."""
        while True:
            client, _, start = await self._router.recv_multipart()
            for number, payload in sorted(self.kept.items()):
                if number >= int.from_bytes(start, "big"):
                    await self._router.send_multipart([client, b"", TOPIC, number.to_bytes(8, "big"), payload])
            await self._router.send_multipart([client, b"", b"", END_OF_REPLAY, b""])

    async def begin_again(self) -> None:
        """Be another process at the same address: connections break, and nothing of before is kept."""
        self._pub.close(0)
        self.kept.clear()
        self._pub = self._sockets.socket(zmq.PUB)
        async with asyncio.timeout(10):
            while not self._has_bound():
                await asyncio.sleep(0.01)

    def _has_bound(self) -> bool:
        """Tell whether the address could be had: ZMQ lets go of it a little after the socket is closed."""
        try:
            self._pub.bind(self.address)
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            return False
        return True

    def close(self) -> None:
        """Be gone."""
        self._pub.close(0)
        self._router.close(0)
