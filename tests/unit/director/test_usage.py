"""Token counts out of answers, in any chunks."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.director.usage import MAX_OBJECT_BYTES, UsageReader
from epp.plugin import Usage


def usage_of(*chunks: bytes) -> Usage | None:
    reader = UsageReader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.usage


OPENAI = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}
FOUND = Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=4)


def plain(usage: object) -> bytes:
    return json.dumps({"id": "1", "choices": [{"text": 'the "usage": {} of it'}], "usage": usage, "x": None}).encode()


def events(*documents: object, newline: bytes = b"\n") -> bytes:
    lines = [b"data: " + json.dumps(document).encode() for document in documents]
    return (newline * 2).join([*lines, b"data: [DONE]"])


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        pytest.param(plain(OPENAI), FOUND, id="OpenAI, plain"),
        pytest.param(events({"usage": None}, {"usage": OPENAI}), FOUND, id="OpenAI, events"),
        pytest.param(events({"usage": OPENAI}, newline=b"\r\n"), FOUND, id="events with CRLF and no final newline"),
        pytest.param(
            events(
                {
                    "type": "response.completed",
                    "response": {
                        "usage": {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
                    },
                }
            ),
            FOUND,
            id="OpenAI responses",
        ),
        pytest.param(
            events(
                {"type": "message_start", "message": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 4}}},
                {"type": "message_delta", "usage": {"output_tokens": 3}},
            ),
            FOUND,
            id="Anthropic",
        ),
        pytest.param(
            json.dumps({"meta_info": {"prompt_tokens": 7, "completion_tokens": 3, "cached_tokens": 4}}).encode(),
            FOUND,
            id="SGLang",
        ),
        pytest.param(
            events({"usage": {"completion_tokens": 1}}, {"usage": OPENAI}),
            FOUND,
            id="usage in every event, the last counts",
        ),
        pytest.param(plain({"prompt_tokens": "7"}), Usage(prompt_tokens=7), id="number as a string"),
        pytest.param(plain({"prompt_tokens": 7, "completion_tokens": "x"}), Usage(prompt_tokens=7), id="half broken"),
        pytest.param(plain(None), None, id="null"),
        pytest.param(plain(5), None, id="a number"),
        pytest.param(plain({"prompt_tokens": 7, "prompt_tokens_details": 5}), Usage(prompt_tokens=7), id="odd details"),
        pytest.param(
            plain({"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4}),
            Usage(prompt_tokens=7, cached_tokens=4),
            id="Anthropic, cache written and read",
        ),
        pytest.param(plain({"prompt_tokens": -1, "completion_tokens": True}), None, id="nonsense"),
        pytest.param(plain({"prompt_tokens": 1e300}), None, id="huge"),
        pytest.param(plain({"prompt_tokens": [1]}), None, id="a list"),
        pytest.param(b'{"usage": {"prompt_tokens": 7', None, id="torn"),
        pytest.param(b'{"usage": {"prompt_tokens": 7,}}', None, id="no JSON"),
        pytest.param(b'{"usage": {"\xff": 7}}', None, id="no UTF-8"),
        pytest.param(b'{"usage": {' + b'"x":' * 5 + b"[" * 3000, None, id="deep"),
        pytest.param(b'{"text": "\\"usage\\": {\\"prompt_tokens\\": 7}"}', None, id="in a text"),
    ],
)
def test_usage_is_read(answer: bytes, usage: Usage | None) -> None:
    assert usage_of(answer) == usage
    assert usage_of(*[answer[i : i + 1] for i in range(len(answer))]) == usage


@given(st.lists(st.integers(0, 400), max_size=8))
def test_chunk_borders_make_no_difference(places: list[int]) -> None:
    answer = plain({"total": 1}) + b"\r\n" + events({"usage": OPENAI})
    edges = [0, *sorted(place % len(answer) for place in places), len(answer)]
    assert usage_of(*[answer[a:b] for a, b in itertools.pairwise(edges)]) == FOUND


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b'"usage":{', b"}", b'"', b'"prompt_tokens":7']), max_size=9))
def test_any_bytes_are_read_without_an_error(chunks: list[bytes]) -> None:
    found = usage_of(*chunks)
    assert found is None or isinstance(found, Usage)


def test_answer_full_of_beginnings_is_looked_at_once() -> None:
    """Not once for each: this would take hours."""
    assert usage_of(*[b'"usage":{' * 2_000] * 100) is None


def test_object_that_never_ends_is_not_held() -> None:
    reader = UsageReader()
    reader.feed(b'{"usage":{"x":"')
    for _ in range(100):
        reader.feed(b"y" * 1000)
    assert len(reader._kept) < MAX_OBJECT_BYTES
    reader.feed(b'"}}' + events({"usage": OPENAI}))
    assert reader.usage == FOUND
