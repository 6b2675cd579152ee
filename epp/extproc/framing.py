"""gRPC's messages in a stream of bytes: a flag, four bytes of length, and the message (gRPC over HTTP/2)."""

from collections import deque

from epp.extproc.rpc import Code, RpcError

HEAD_BYTES = 5
_COMPRESSED = 1


class MessageReader:
    """Cuts messages out of chunks that know nothing of them. Without I/O."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes
        self._chunks: deque[bytes] = deque()
        self.held_bytes = 0
        self._wanted: int | None = None
        """Length of the message that has begun; ``None``: its head is not there yet."""

    @property
    def is_between(self) -> bool:
        """Whether nothing of a message is held: the stream may end here."""
        return self._wanted is None and not self.held_bytes

    def feed(self, chunk: bytes) -> None:
        """Take in some bytes."""
        if chunk:
            self._chunks.append(chunk)
            self.held_bytes += len(chunk)

    def whole(self, chunk: bytes) -> bytes | None:
        """Return the message that a chunk is, where it is one and nothing else, as most are; else it is to be fed."""
        length = len(chunk) - HEAD_BYTES
        if self.held_bytes or self._wanted or not 0 <= length <= self._max_bytes:
            return None
        return chunk[HEAD_BYTES:] if chunk.startswith(length.to_bytes(HEAD_BYTES)) else None

    def next(self) -> bytes | None:
        """Return the next message if it is all there.

        Raises `RpcError` for one that is compressed, or larger than it may be, as soon as its head says so.
        """
        if self._wanted is None:
            if self.held_bytes < HEAD_BYTES:
                return None
            head = self._take(HEAD_BYTES)
            self._wanted = self._checked(head[0], int.from_bytes(head[1:]))
        if self.held_bytes < self._wanted:
            return None
        wanted, self._wanted = self._wanted, None
        return self._take(wanted)

    def _checked(self, flag: int, length: int) -> int:
        if flag == _COMPRESSED:
            raise RpcError(Code.UNIMPLEMENTED, "compressed messages are not supported; send them as identity")
        if flag:
            raise RpcError(Code.INTERNAL, f"a message begins with the flag {flag}, which gRPC does not have")
        if length > self._max_bytes:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"a message of {length} bytes; at most {self._max_bytes}")
        return length

    def _take(self, count: int) -> bytes:
        """Return the first ``count`` bytes, which are there; copies each byte at most once more."""
        self.held_bytes -= count
        first = self._chunks[0] if self._chunks else b""
        if len(first) == count:
            return self._chunks.popleft() if count else b""
        parts = []
        while count:
            chunk = self._chunks.popleft()
            if len(chunk) > count:
                self._chunks.appendleft(chunk[count:])
                chunk = chunk[:count]
            parts.append(chunk)
            count -= len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def framed(*messages: bytes) -> bytes:
    """Return messages, each with its head; copies each byte once."""
    parts: list[bytes] = []
    for message in messages:
        parts += (b"\0" + len(message).to_bytes(4), message)
    return b"".join(parts)
