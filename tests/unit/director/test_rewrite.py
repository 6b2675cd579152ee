"""The client's name for the model, back in the answer."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.director.rewrite import ModelNameRestorer


def restored(chunks: list[bytes], *, served: str = "served", client: str = "client") -> bytes:
    restorer = ModelNameRestorer(served=served, client=client)
    return b"".join([restorer.feed(chunk) for chunk in chunks] + [restorer.rest()])


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:stop] for start, stop in itertools.pairwise(edges)]


PIECES = st.sampled_from(
    [
        b'"model"',
        b":",
        b" ",
        b'"served"',
        b'"serve',
        b'd"',
        b'"',
        b'\\"',
        b'"model":"served"',
        b'"model": "other"',
        b"x",
    ]
)


@given(st.lists(PIECES, max_size=12), st.lists(st.integers(0, 200), max_size=6))
def test_chunk_borders_make_no_difference(pieces: list[bytes], places: list[int]) -> None:
    text = b"".join(pieces)
    assert restored(cut(text, places)) == restored([text])


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_every_other_byte_stays(chunks: list[bytes]) -> None:
    text = b"".join(chunks)
    if b'"model"' not in text:
        assert restored(chunks) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b'{"model":"served"}', b'{"model":"client"}', id="compact"),
        pytest.param(b'{"model" :\n "served"}', b'{"model" :\n "client"}', id="blanks"),
        pytest.param(b'{"response":{"model":"served"}}', b'{"response":{"model":"client"}}', id="nested"),
        pytest.param(b'{"model":"served-too"}', b'{"model":"served-too"}', id="longer name"),
        pytest.param(b'{"t":"\\"model\\":\\"served\\""}', b'{"t":"\\"model\\":\\"served\\""}', id="in a text"),
        pytest.param(b'{"my \\"model":"served"}', b'{"my \\"model":"served"}', id="end of another key"),
        pytest.param(b'{"submodel":"served"}', b'{"submodel":"served"}', id="other key"),
        pytest.param(
            b'data: {"model":"served"}\n\ndata: [DONE]\n\n', b'data: {"model":"client"}\n\ndata: [DONE]\n\n', id="event"
        ),
    ],
)
def test_model_is_named_back_where_it_is_the_model(text: bytes, expected: bytes) -> None:
    assert restored([text]) == expected


@pytest.mark.parametrize("name", ["é/ü", 'quo"te', "back\\slash", "a.b*c", "名"])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_odd_names_are_found_however_they_are_written(name: str, *, ascii_only: bool) -> None:
    text = json.dumps({"model": name}, ensure_ascii=ascii_only).encode()
    assert json.loads(restored([text], served=name, client=name + "!")) == {"model": name + "!"}


def test_no_more_is_held_back_than_could_be_a_model() -> None:
    restorer = ModelNameRestorer(served="served", client="client")
    assert restorer.feed(b'some text, "mod') == b"some text, "
    assert restorer.feed(b'ern art"') == b'"modern art'
    assert restorer.rest() == b'"'
