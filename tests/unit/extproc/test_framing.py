"""Messages are cut out of chunks, wherever these begin and end."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.framing import HEAD_BYTES, MessageReader, framed
from epp.extproc.rpc import Code, RpcError

MOST = 1000


def read_all(chunks: Sequence[bytes]) -> list[bytes]:
    reader = MessageReader(max_message_bytes=MOST)
    messages: list[bytes] = []
    for chunk in chunks:
        reader.feed(chunk)
        while (message := reader.next()) is not None:
            messages.append(message)
    assert reader.is_between
    return messages


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(min_value=0, max_value=400), max_size=12))
def test_messages_come_out_as_they_went_in(messages: list[bytes], cuts: list[int]) -> None:
    text = b"".join(map(framed, messages))
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    assert read_all([text[begin:end] for begin, end in itertools.pairwise(places)]) == messages


def test_head_is_the_flag_and_the_length() -> None:
    assert framed(b"abc") == b"\x00\x00\x00\x00\x03abc"
    assert len(framed(b"")) == HEAD_BYTES


@pytest.mark.parametrize(
    ("head", "code"),
    [
        pytest.param(b"\x01\x00\x00\x00\x03", Code.UNIMPLEMENTED, id="compressed"),
        pytest.param(b"\x02\x00\x00\x00\x03", Code.INTERNAL, id="no such flag"),
        pytest.param(b"\x00\x00\x00\x03\xe9", Code.RESOURCE_EXHAUSTED, id="too long"),
        pytest.param(b"\x00\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED, id="far too long"),
    ],
)
def test_message_is_refused_as_soon_as_its_head_is_there(head: bytes, code: Code) -> None:
    reader = MessageReader(max_message_bytes=MOST)
    reader.feed(head[:4])
    assert reader.next() is None
    reader.feed(head[4:])
    with pytest.raises(RpcError) as caught:
        reader.next()
    assert caught.value.status.code is code


@pytest.mark.parametrize("count", [1, 4, 5, 7])
def test_message_that_has_begun_is_noticed(count: int) -> None:
    reader = MessageReader(max_message_bytes=MOST)
    assert reader.is_between
    reader.feed(framed(b"abc")[:count])
    assert reader.next() is None
    assert not reader.is_between
