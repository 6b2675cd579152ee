"""Every API beside chat and completions: what is read, and what is refused."""

import json
from typing import Any

import pytest

from epp.plugin import NOT_PARSED, DropReason, ParsedBody, Parser, Rejection
from epp_plugins._pb.vllm_engine_pb2 import (
    EmbedRequest,
    GenerateRequest,
    MediaRef,
    MediaRefs,
    MultimodalInputs,
    PlaceholderRange,
    SamplingParams,
    TokenizedInput,
)
from epp_plugins.parsers.anthropic import AnthropicParser
from epp_plugins.parsers.openai import OpenaiParser
from epp_plugins.parsers.passthrough import PassthroughParser
from epp_plugins.parsers.sglanghttp import SglanghttpParser
from epp_plugins.parsers.vllmgrpc import VllmgrpcParser
from epp_plugins.parsers.vllmhttp import VllmhttpParser

OPENAI, ANTHROPIC = OpenaiParser(), AnthropicParser()
VLLM, SGLANG, GRPC = VllmhttpParser(), SglanghttpParser(), VllmgrpcParser()
USER = {"role": "user", "content": "Hello"}


def parse(parser: Parser, path: str, document: object) -> ParsedBody:
    return parser.parse(path, document if isinstance(document, bytes) else json.dumps(document).encode())


def prompt_of(parser: Parser, path: str, document: object) -> bytes:
    (prompt,) = parse(parser, path, document).prompts
    return prompt


@pytest.mark.parametrize(
    ("path", "limits"),
    [
        pytest.param("/v1/chat/completions", {"max_completion_tokens": 5, "max_tokens": 7}, id="chat"),
        pytest.param("/v1/chat/completions", {"max_tokens": 5}, id="chat, old name"),
        pytest.param("/v1/chat/completions/render", {"max_tokens": 5.0}, id="a whole float"),
    ],
)
def test_output_limit_and_salt_are_read(path: str, limits: dict[str, Any]) -> None:
    parsed = parse(OPENAI, path, {"model": "m", "messages": [USER], "cache_salt": "salt"} | limits)
    assert (parsed.max_output_tokens, parsed.cache_salt, parsed.is_rewritable) == (5, "salt", True)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "5", None, [5]])
def test_output_limit_that_makes_no_sense_is_none(limit: object) -> None:
    document = {"model": "m", "messages": [USER], "max_tokens": limit, "cache_salt": limit and 5}
    assert parse(OPENAI, "/v1/chat/completions", document).max_output_tokens is None


def test_prompt_is_in_the_order_of_templates_system_tools_messages() -> None:
    system = {"role": "system", "content": "SYSTEM"}
    prompt = prompt_of(
        OPENAI, "/v1/chat/completions", {"model": "m", "messages": [system, USER], "tools": [{"name": "TOOL"}]}
    )
    places = [prompt.index(word) for word in (b"SYSTEM", b"TOOL", b"Hello")]
    assert places == sorted(places)
    other_tools = prompt_of(
        OPENAI, "/v1/chat/completions", {"model": "m", "messages": [system, USER], "tools": [{"name": "OTHER"}]}
    )
    assert other_tools[: places[1] - 12] == prompt[: places[1] - 12]


def test_tools_count_when_there_is_nothing_but_a_system_message() -> None:
    system = {"role": "system", "content": "SYSTEM"}
    prompt = prompt_of(
        OPENAI, "/v1/chat/completions", {"model": "m", "messages": [system], "tools": [{"name": "TOOL"}]}
    )
    assert prompt.index(b"SYSTEM") < prompt.index(b"TOOL")


MEDIA = [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAB"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "video_url", "video_url": {"url": "https://a/b"}},
    {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
    {"type": "document", "source": {"type": "text", "data": "AAAA"}},
]


def test_different_media_are_different_prompts_and_short_ones() -> None:
    prompts = [
        prompt_of(OPENAI, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": [media]}]})
        for media in MEDIA
    ]
    assert len(set(prompts)) == len(MEDIA)
    assert {len(prompt) for prompt in prompts} == {len(b"\x00user\x00") + 17}


def test_same_image_is_the_same_prompt_whatever_the_order_of_its_keys() -> None:
    image = {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
    again = {"image_url": {"detail": "low", "url": "u"}, "type": "image_url"}
    one, two = (
        prompt_of(OPENAI, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": [part]}]})
        for part in (image, again)
    )
    assert one == two


@pytest.mark.parametrize(
    ("path", "document", "prompts"),
    [
        pytest.param("/v1/embeddings", {"model": "m", "input": "abc"}, [b"abc"], id="embedding of a text"),
        pytest.param("/v1/embeddings", {"model": "m", "input": ["a", "b"]}, [b"a", b"b"], id="of several"),
        pytest.param("/v1/embeddings", {"model": "m", "input": [1]}, [b"\x01\0\0\0"], id="of token ids"),
        pytest.param("/v1/embeddings", {"model": "m", "messages": [USER]}, [b"\x00user\x00Hello"], id="of messages"),
        pytest.param("/v1/responses", {"model": "m", "input": "abc"}, [b"\x00user\x00abc"], id="response to a text"),
        pytest.param("/v1/responses", {"model": "m", "input": [USER]}, [b"\x00user\x00Hello"], id="to messages"),
        pytest.param(
            "/v1/responses",
            {"model": "m", "instructions": "I", "input": [USER | {"content": [{"type": "input_text", "text": "T"}]}]},
            [b"\x00system\x00I\x00user\x00T"],
            id="with instructions",
        ),
        pytest.param(
            "/v1/responses", {"model": "m", "input": [{"type": "function_call", "id": 1}]},
            [b'{"id":1,"type":"function_call"}'], id="to a call",
        ),
        pytest.param("/v1/conversations", {"items": [USER]}, [b"\x00user\x00Hello"], id="conversation"),
        pytest.param("/v1/images/generations", {"prompt": "a cat"}, [b"a cat"], id="image"),
    ],
)  # fmt: skip
def test_openai_prompt_is_read(path: str, document: object, prompts: list[bytes]) -> None:
    assert list(parse(OPENAI, path, document).prompts) == prompts


def test_anthropic_message_is_read() -> None:
    document = {
        "model": "m",
        "system": "S",
        "messages": [USER],
        "tools": [{"name": "T"}],
        "max_tokens": 5,
        "stream": True,
    }
    parsed = parse(ANTHROPIC, "/v1/messages", document)
    assert (parsed.model, parsed.stream, parsed.max_output_tokens) == ("m", True, 5)
    assert list(parsed.prompts) == [b'\x00system\x00S[{"name":"T"}]\x00user\x00Hello']


def test_anthropic_system_blocks_read_as_the_same_text() -> None:
    blocks = [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]
    one, two = (
        prompt_of(ANTHROPIC, "/v1/messages", {"model": "m", "system": system, "messages": [USER]})
        for system in ("S", blocks)
    )
    assert one == two


def test_image_inside_of_a_tool_result_counts_by_its_digest() -> None:
    def result(data: str) -> bytes:
        image = {"type": "image", "source": {"type": "base64", "data": data}}
        content = [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}, image]}]
        return prompt_of(ANTHROPIC, "/v1/messages", {"model": "m", "messages": [{"role": "user", "content": content}]})

    assert result("A" * 1000) != result("B" * 1000)
    assert len(result("A" * 1000)) < 100


def test_counting_tokens_has_no_prompt_to_remember() -> None:
    parsed = parse(ANTHROPIC, "/v1/messages/count_tokens", {"model": "m", "messages": [USER]})
    assert (parsed.model, parsed.prompts) == ("m", ())


def vllm(hashes: list[object], **place: object) -> bytes:
    features = {"mm_hashes": {"image": hashes}, "mm_placeholders": {"image": [place]}}
    return prompt_of(VLLM, "/inference/v1/generate", {"token_ids": [9] * 8, "features": features})


def test_vllm_request_is_read() -> None:
    document = {"model": "m", "token_ids": [1], "sampling_params": {"max_tokens": 5}, "cache_salt": "s", "stream": True}
    parsed = parse(VLLM, "/inference/v1/generate", document)
    assert (parsed.model, parsed.max_output_tokens, parsed.cache_salt, parsed.stream) == ("m", 5, "s", True)
    assert list(parsed.prompts) == [b"\x01\0\0\0"]


def test_images_of_a_tokenised_prompt_count_in_their_places() -> None:
    one, two = vllm(["a"], offset=4, length=3), vllm(["b"], offset=4, length=3)
    assert one != two
    assert len(one) == len(two) == 32
    assert one[:16] == two[:16] == b"\x09\0\0\0" * 4
    assert one[28:] == two[28:] == b"\x09\0\0\0"


@pytest.mark.parametrize(
    "place", [{"offset": -1, "length": 3}, {"offset": 100, "length": 3}, {"length": 3}, {"offset": 1, "length": True}]
)
def test_place_that_makes_no_sense_is_left_out(place: dict[str, object]) -> None:
    assert vllm(["a"], **place) == b"\x09\0\0\0" * 8


def test_places_that_overlap_are_folded_no_longer_than_the_prompt() -> None:
    """Each of these would cost a megabyte of work."""
    place = {"offset": 0, "length": 262_144}
    features = {"mm_hashes": {"image": ["a"] * 60_000}, "mm_placeholders": {"image": [place] * 60_000}}
    prompt = prompt_of(VLLM, "/inference/v1/generate", {"token_ids": [9] * 262_144, "features": features})
    assert len(prompt) == 262_144 * 4


def test_length_of_a_place_beyond_the_prompt_stops_at_its_end() -> None:
    assert len(vllm(["a"], offset=7, length=2**60)) == 32


def test_sglang_request_is_read() -> None:
    document = {"input_ids": [1], "extra_key": "k", "sampling_params": {"max_new_tokens": 5}, "stream": True}
    parsed = parse(SGLANG, "/generate", document)
    assert (parsed.model, parsed.max_output_tokens, parsed.cache_salt, parsed.stream) == ("", 5, "k", True)
    assert not parsed.is_rewritable
    assert list(parsed.prompts) == [b"\x01\0\0\0"]


def test_sglang_text_is_read_and_its_images_count() -> None:
    assert prompt_of(SGLANG, "/generate", {"text": "abc"}) == b"abc"
    one, two = (prompt_of(SGLANG, "/generate", {"text": "abc", "image_data": image}) for image in ("a", "b"))
    assert one != two


def framed(message: GenerateRequest | EmbedRequest, *, compressed: int = 0) -> bytes:
    content = message.SerializeToString()
    return bytes([compressed]) + len(content).to_bytes(4) + content


GENERATE, EMBED = "/vllm.grpc.engine.VllmEngine/Generate", "/vllm.grpc.engine.VllmEngine/Embed"
TOKENS = TokenizedInput(input_ids=[1, 2])


def test_grpc_request_is_read() -> None:
    request = GenerateRequest(tokenized=TOKENS, stream=True, sampling_params=SamplingParams(max_tokens=5))
    parsed = parse(GRPC, GENERATE, framed(request))
    assert (parsed.stream, parsed.max_output_tokens) == (True, 5)
    assert list(parsed.prompts) == [b"\x01\0\0\0\x02\0\0\0"]
    assert prompt_of(GRPC, GENERATE, framed(GenerateRequest(text="abc"))) == b"abc"
    assert prompt_of(GRPC, EMBED, framed(EmbedRequest(tokenized=TOKENS))) == b"\x01\0\0\0\x02\0\0\0"


def test_images_of_a_grpc_request_count() -> None:
    def with_hash(name: str) -> GenerateRequest:
        media = MultimodalInputs(mm_hashes=[name], mm_placeholders=[PlaceholderRange(offset=1, length=1)])
        return GenerateRequest(tokenized=TOKENS, mm_inputs=media)

    def with_address(url: str) -> GenerateRequest:
        return GenerateRequest(tokenized=TOKENS, media_refs=MediaRefs(items=[MediaRef(url=url)]))

    def with_more(name: str) -> GenerateRequest:
        media = MultimodalInputs(mm_hashes=[name], mm_placeholders=[PlaceholderRange(offset=0, length=1)])
        return GenerateRequest(tokenized=TOKENS, extra_mm_inputs=[media])

    requests = [make(name) for make in (with_hash, with_more, with_address) for name in ("a", "b")]
    assert len({prompt_of(GRPC, GENERATE, framed(request)) for request in requests}) == len(requests)


def test_passthrough_reads_nothing() -> None:
    assert PassthroughParser().parse("/x", b"\xff") is NOT_PARSED


@pytest.mark.parametrize(
    ("parser", "path", "document", "message"),
    [
        pytest.param(OPENAI, "/v1/embeddings", {"model": "m"}, "`input` is required", id="no input"),
        pytest.param(OPENAI, "/v1/embeddings", {"input": "x"}, "`model` is required", id="no model"),
        pytest.param(OPENAI, "/v1/responses", {"model": "m", "input": 5}, "`input` is required", id="input a number"),
        pytest.param(OPENAI, "/v1/responses", {"model": "m", "input": [5]}, "`input[0]` must be", id="item a number"),
        pytest.param(OPENAI, "/v1/conversations", {"items": []}, "`items` is required", id="no items"),
        pytest.param(OPENAI, "/v1/conversations", {"model": 5, "items": [USER]}, "`model` is", id="odd optional model"),
        pytest.param(OPENAI, "/v1/images/generations", {"prompt": [1]}, "`prompt` is required", id="no prompt"),
        pytest.param(ANTHROPIC, "/v1/messages", {"model": "m", "messages": []}, "`messages` is required", id="none"),
        pytest.param(ANTHROPIC, "/v1/messages", b"{", "the body is not valid JSON", id="torn"),
        pytest.param(VLLM, "/inference/v1/generate", {"token_ids": []}, "`token_ids` is required", id="no ids"),
        pytest.param(VLLM, "/inference/v1/generate", {"token_ids": [2**32]}, "`token_ids` must hold", id="huge id"),
        pytest.param(VLLM, "/inference/v1/generate", {"token_ids": ["a"]}, "`token_ids` must hold", id="text as id"),
        pytest.param(SGLANG, "/generate", {}, "`text` is required", id="neither ids nor text"),
        pytest.param(SGLANG, "/generate", {"input_ids": [1], "extra_key": 5}, "`extra_key` must be", id="odd salt"),
        pytest.param(GRPC, GENERATE, b"\x00\x00", "the request has no gRPC message", id="no message"),
        pytest.param(
            GRPC, GENERATE, framed(GenerateRequest(text="a"), compressed=1), "the gRPC message is compr", id="z"
        ),
        pytest.param(
            GRPC, GENERATE, framed(GenerateRequest(text="abc"))[:-1], "the gRPC message is torn", id="torn gRPC"
        ),
        pytest.param(GRPC, GENERATE, b"\x00\x00\x00\x00\x01\xff", "the gRPC message is not one of", id="no protobuf"),
        pytest.param(GRPC, GENERATE, framed(GenerateRequest()), "the request has neither text", id="no input in gRPC"),
        pytest.param(GRPC, EMBED, framed(EmbedRequest()), "the request has no token ids", id="no ids in gRPC"),
    ],
)
def test_bad_request_is_400_and_says_what(parser: Parser, path: str, document: object, message: str) -> None:
    with pytest.raises(Rejection) as caught:
        parse(parser, path, document)
    assert caught.value.reason is DropReason.BAD_REQUEST
    assert caught.value.message.startswith(message)
