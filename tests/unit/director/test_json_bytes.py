"""JSON changed and completed as bytes; what the decoder says of the result is the oracle."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.director.json_bytes import close_json, object_end, replace_model

TEXT = st.text(max_size=6) | st.sampled_from(["model", '"model"', '\\"', "{", "]", "é", "\\"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
DOCUMENT = st.dictionaries(TEXT | st.just("model"), JSON, max_size=5)
LAYOUT = st.fixed_dictionaries({"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 0, 2])})


def dumped(document: object, layout: dict[str, Any]) -> bytes:
    return json.dumps(document, **layout).encode(errors="surrogatepass")


@given(DOCUMENT, LAYOUT, st.text(st.characters(codec="utf-8"), min_size=1, max_size=9))
def test_only_the_model_changes(document: dict[str, Any], layout: dict[str, Any], model: str) -> None:
    body = dumped(document, layout)
    changed = replace_model(body, model)
    assert changed is not None
    wanted = document | {"model": model} if isinstance(document.get("model"), str) else document
    assert json.loads(changed) == wanted
    if isinstance(document.get("model"), str):
        new, old = json.dumps(model, ensure_ascii=False).encode(), dumped(document["model"], layout)
        assert len(changed) - len(body) == len(new) - len(old)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        pytest.param(
            b'{ "seed": 9007199254740993, "model" :\n"a", "z":1.50e3,"a":"<\\u00e9\\/>"}',
            b'{ "seed": 9007199254740993, "model" :\n"new", "z":1.50e3,"a":"<\\u00e9\\/>"}',
            id="numbers, order, blanks and escapes stay",
        ),
        pytest.param(b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"new"}', id="escaped key"),
        pytest.param(b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}', id="twice"),
        pytest.param(b'{"x":{"model":"a"},"y":["model","a"]}', b'{"x":{"model":"a"},"y":["model","a"]}', id="deeper"),
        pytest.param(b'{"x":"model","y":"\\"model\\":\\"a\\""}', b'{"x":"model","y":"\\"model\\":\\"a\\""}', id="text"),
        pytest.param(b'{"\xed\xa0":1,"model":"a"}', b'{"\xed\xa0":1,"model":"new"}', id="key that is no text"),
        pytest.param(b'{"\\x":1,"model":"a"}', b'{"\\x":1,"model":"new"}', id="key with an odd escape"),
        pytest.param(b'{"model":5}', b'{"model":5}', id="no string"),
    ],
)
def test_model_is_replaced_where_it_is_the_model(body: bytes, changed: bytes) -> None:
    assert replace_model(body, "new") == changed


def begins_like(part: object, whole: object) -> bool:
    """Tell whether a value is what a cut could leave of another one."""
    match part, whole:
        case str(), str():
            return whole.startswith(part)
        case list(), list():
            return len(part) <= len(whole) and all(map(begins_like, part, whole))
        case dict(), dict():
            return all(name in whole and begins_like(value, whole[name]) for name, value in part.items())
        case int() | float(), int() | float():
            return True
    return part == whole


@given(DOCUMENT, LAYOUT, st.data())
def test_document_that_was_cut_anywhere_is_closed_to_what_there_is_of_it(
    document: dict[str, Any], layout: dict[str, Any], data: st.DataObject
) -> None:
    body = dumped(document, layout)
    cut = data.draw(st.integers(1, len(body)))
    closed = json.loads(close_json(body[:cut]))
    assert begins_like(closed, document)


def test_cut_prompt_is_kept_up_to_the_cut() -> None:
    assert close_json(b'{"model":"m","messages":[{"role":"user","content":"Hel') == (
        b'{"model":"m","messages":[{"role":"user","content":"Hel"}]}'
    )


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        pytest.param(b'{"a":"x\\', "x", id="in an escape"),
        pytest.param(b'{"a":"x\\u00', "x", id="in a code point"),
        pytest.param('{"a":"xé'.encode()[:-1], "x", id="in a character"),
        pytest.param('{"a":"x😀'.encode()[:-1], "x", id="in a long character"),
        pytest.param(b'{"a":"x\\\\', "x\\", id="after an escaped backslash"),
        pytest.param(b'{"a":"x\\\\\\', "x\\", id="in the escape after one"),
        pytest.param(b'{"a":"x\\ud83d', "x", id="between two halves"),
        pytest.param(b'{"a":"x\\ud83d\\ude', "x", id="in the second half"),
        pytest.param(b'{"a":"x\\\\ud83d', "x\\ud83d", id="after what only looks like a half"),
    ],
)
def test_half_characters_are_left_out(cut: bytes, kept: str) -> None:
    assert json.loads(close_json(cut)) == {"a": kept}


def test_body_of_more_values_than_are_looked_at_is_not_rewritten() -> None:
    assert replace_model(b'{"model":"m","x":[' + b"[]," * 400_000 + b"1]}", "new") is None


@given(st.binary(max_size=60))
def test_any_bytes_can_be_closed_without_an_error(text: bytes) -> None:
    assert isinstance(close_json(text), bytes)


@given(DOCUMENT, LAYOUT, st.binary(max_size=9))
def test_end_of_an_object_is_found(document: dict[str, Any], layout: dict[str, Any], after: bytes) -> None:
    body = dumped(document, layout)
    assert object_end(body + after, 0, 10_000) == len(body)
    assert object_end(body, 0, len(body) - 1) is None
