"""Fields of protobuf's wire format (protobuf.dev, "Encoding"), for the few answers that the picker writes.

The same answers made of protobuf's objects take several times as long (`bench/micro/request.py`).
"""

from collections.abc import Sequence

_ONE_BYTE = 0x80
_LENGTHS = [bytes((length,)) for length in range(_ONE_BYTE)]
_VARINT, _DELIMITED = 0, 2


def tag(number: int) -> bytes:
    """Return the tag of a message, string or bytes, of a field number up to 15."""
    return bytes((number << 3 | _DELIMITED,))


def flag(number: int) -> bytes:
    """Return a whole field that is true."""
    return bytes((number << 3 | _VARINT, 1))


def choice(number: int, value: int) -> bytes:
    """Return a whole field that is an enum, of a value up to 127."""
    return bytes((number << 3 | _VARINT, value))


def varint(number: int) -> bytes:
    """Return a length."""
    if number < _ONE_BYTE:
        return _LENGTHS[number]
    groups = bytearray()
    while number >= _ONE_BYTE:
        groups.append(number & 0x7F | _ONE_BYTE)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def field(tagged: bytes, content: bytes) -> bytes:
    """Return a field with a content that is small."""
    return tagged + varint(len(content)) + content


def wrapped(tags: Sequence[bytes], *parts: bytes) -> bytes:
    """Return fields in one another, the innermost first, with these parts as the content of the innermost one.

    The parts are copied once, however deep they are.
    """
    size, head = sum(map(len, parts)), b""
    for tagged in tags:
        prefix = tagged + varint(size)
        size += len(prefix)
        head = prefix + head
    return b"".join((head, *parts))
