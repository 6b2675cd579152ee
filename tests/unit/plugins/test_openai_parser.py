"""Bodies of the OpenAI API: what is read, and what a client is told that sends nonsense."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.plugin import DropReason, ParsedBody, Rejection
from epp_plugins.parsers.canonical import MAX_PROMPTS, MAX_TOKEN_IDS
from epp_plugins.parsers.openai import OpenaiParser

CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/v1/completions"
USER = {"role": "user", "content": "Hello"}


def parse(document: object, path: str = CHAT_PATH) -> ParsedBody:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return OpenaiParser().parse(path, body)


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": list(messages), **fields}


def prompt_of(document: object) -> bytes:
    (prompt,) = parse(document).prompts
    return prompt


def test_model_and_stream_are_read() -> None:
    assert parse(chat(USER)).model == "tiny"
    assert parse(chat(USER)).stream is False
    assert parse(chat(USER, stream=True)).stream is True


def test_longer_conversation_begins_as_the_shorter_one_did() -> None:
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "Hi."}
    first, second = prompt_of(chat(system, USER)), prompt_of(chat(system, USER, answer, USER))
    assert second.startswith(first)
    assert b"Be brief." in first


def test_text_parts_read_as_the_same_text_in_a_string() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}
    assert prompt_of(chat(parts)) == prompt_of(chat(USER))


def test_sampling_parameters_do_not_change_the_prompt() -> None:
    assert prompt_of(chat(USER, temperature=0.1, max_tokens=5)) == prompt_of(chat(USER))


def test_order_of_keys_does_not_change_the_prompt() -> None:
    one, two = {"type": "function", "name": "f"}, {"name": "f", "type": "function"}
    assert prompt_of(chat(USER, tools=[one])) == prompt_of(chat(USER, tools=[two]))


def test_different_roles_tools_and_images_are_different_prompts() -> None:
    def image(url: str) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}

    prompts = [
        prompt_of(chat(USER)),
        prompt_of(chat({"role": "system", "content": "Hello"})),
        prompt_of(chat(USER, tools=[{"type": "function"}])),
        prompt_of(chat(image("data:a"))),
        prompt_of(chat(image("data:b"))),
        prompt_of(chat({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]})),
    ]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        pytest.param("abc", [b"abc"], id="string"),
        pytest.param("", [b""], id="empty string"),
        pytest.param(["abc", "d"], [b"abc", b"d"], id="list of strings"),
        pytest.param([1, 256], [b"\x01\0\0\0\0\x01\0\0"], id="token ids"),
        pytest.param([[1], [2]], [b"\x01\0\0\0", b"\x02\0\0\0"], id="lists of token ids"),
    ],
)
def test_completion_prompt_is_read(prompt: object, prompts: list[bytes]) -> None:
    assert list(parse({"model": "m", "prompt": prompt}, TEXT_PATH).prompts) == prompts


@pytest.mark.parametrize(
    ("body", "path", "message", "param"),
    [
        pytest.param(b"", CHAT_PATH, "the request has no body", None, id="no body"),
        pytest.param(b"hello", CHAT_PATH, "the body is not valid JSON: ", None, id="no JSON"),
        pytest.param(b'{"model": "a"', CHAT_PATH, "the body is not valid JSON: ", None, id="torn JSON"),
        pytest.param(b'{"model": "\xff"}', CHAT_PATH, "`model` is not valid JSON: ", "model", id="no UTF-8"),
        pytest.param(b'{"x":' * 200_000, CHAT_PATH, "the body is not valid JSON: ", None, id="deep nesting"),
        pytest.param(
            b'{"model":"m","messages":[' + b"1," * 2_000_001 + b"1]}",
            CHAT_PATH,
            "`messages` has more than 2000000 values",
            "messages",
            id="millions of values",
        ),
        pytest.param(b"[]", CHAT_PATH, "the body must be a JSON object", None, id="list"),
        pytest.param({"messages": [USER]}, CHAT_PATH, "`model` is required", "model", id="no model"),
        pytest.param({"model": 7, "messages": [USER]}, CHAT_PATH, "`model` is required", "model", id="model no string"),
        pytest.param({"model": "", "messages": [USER]}, CHAT_PATH, "`model` is required", "model", id="empty model"),
        pytest.param({"model": "m"}, CHAT_PATH, "`messages` is required", "messages", id="no messages"),
        pytest.param(chat(), CHAT_PATH, "`messages` is required", "messages", id="empty messages"),
        pytest.param(chat("hi"), CHAT_PATH, "`messages[0]` must be an object", "messages[0]", id="message no object"),
        pytest.param(
            chat(USER, {"content": "x"}), CHAT_PATH, "`messages[1].role` is required", "messages[1].role", id="no role"
        ),
        pytest.param(
            chat({"role": "user", "content": 5}),
            CHAT_PATH,
            "`messages[0].content` must be a string or a list",
            "messages[0].content",
            id="content a number",
        ),
        pytest.param(
            chat({"role": "user", "content": [5]}),
            CHAT_PATH,
            "`messages[0].content[0]` must be a content part",
            "messages[0].content[0]",
            id="part a number",
        ),
        pytest.param({"model": "m"}, TEXT_PATH, "`prompt` is required", "prompt", id="no prompt"),
        pytest.param({"model": "m", "prompt": []}, TEXT_PATH, "`prompt` is required", "prompt", id="empty prompt list"),
        pytest.param({"model": "m", "prompt": [1, "a"]}, TEXT_PATH, "`prompt` must hold", "prompt", id="mixture"),
        pytest.param({"model": "m", "prompt": [-1]}, TEXT_PATH, "`prompt` must hold", "prompt", id="negative id"),
        pytest.param({"model": "m", "prompt": [2**40]}, TEXT_PATH, "`prompt` must hold", "prompt", id="huge id"),
        pytest.param({"model": "m", "prompt": [True]}, TEXT_PATH, "`prompt` must hold", "prompt", id="boolean id"),
        pytest.param(
            {"model": "m", "prompt": [[1], ["a"]]}, TEXT_PATH, "`prompt[1]` must hold", "prompt[1]", id="nested mixture"
        ),
    ],
)
def test_bad_body_is_400_and_says_what_and_where(body: object, path: str, message: str, param: str | None) -> None:
    with pytest.raises(Rejection) as caught:
        parse(body, path)
    assert caught.value.reason is DropReason.BAD_REQUEST
    assert caught.value.message.startswith(message)
    assert caught.value.param == param


@pytest.mark.parametrize("value", ["1e999", "9" * 5000, "[[1],[[2]]]"])
def test_what_is_not_looked_at_is_the_model_servers_business(value: str) -> None:
    assert parse(b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":%s}' % value.encode()).model == "m"


def test_prompt_full_of_commas_is_read() -> None:
    (prompt,) = parse(chat({"role": "user", "content": "," * 2_100_000})).prompts
    assert len(prompt) > 2_100_000


def test_text_cannot_pass_for_another_message() -> None:
    forged = prompt_of(chat({"role": "user", "content": "a\0assistant\0b"}))
    assert forged != prompt_of(chat({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}))


@pytest.mark.parametrize("field", ["functions", "documents", "chat_template", "chat_template_kwargs", "tools"])
def test_inputs_of_the_template_are_a_part_of_the_prompt(field: str) -> None:
    assert prompt_of(chat(USER, **{field: ["x"]})) != prompt_of(chat(USER, **{field: ["y"]}))


@pytest.mark.parametrize("field", ["name", "tool_call_id", "reasoning_content", "function_call"])
def test_what_a_message_has_beside_its_content_is_a_part_of_the_prompt(field: str) -> None:
    assert prompt_of(chat(USER | {field: "x"})) != prompt_of(chat(USER | {field: "y"}))


def test_only_the_first_prompts_and_tokens_of_a_huge_request_are_looked_at() -> None:
    many = parse({"model": "m", "prompt": ["a"] * 300}, TEXT_PATH).prompts
    (long,) = parse({"model": "m", "prompt": [1] * 300_000}, TEXT_PATH).prompts
    assert len(many) == MAX_PROMPTS
    assert len(long) == MAX_TOKEN_IDS * 4


TEXT = st.sampled_from(["", "role", "content", "type", "text", "user", "é", "\ud800", "\x00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m")}, optional={"messages": JSON, "prompt": JSON, "tools": JSON, "stream": JSON}
    ),
    st.sampled_from([CHAT_PATH, TEXT_PATH]),
)
def test_any_json_is_read_or_refused_and_never_raises_otherwise(document: dict[str, Any], path: str) -> None:
    try:
        parsed = parse(document, path)
    except Rejection as rejection:
        assert rejection.refusal.status == 400
    else:
        assert parsed.model == "m"


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse(b'{"model":"m","messages":[{"role":"user","content":"' + body + b'"}]}')
    except Rejection as rejection:
        assert rejection.refusal.status == 400
