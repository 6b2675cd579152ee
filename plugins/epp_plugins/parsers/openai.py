"""``openai-parser``: chat completions and completions of the OpenAI API."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from epp.plugin import DropReason, ParsedBody, Rejection

CHAT = "chat/completions"
MAX_PROMPTS = 256
"""Prompts of one request that are looked at: more of them say nothing more about where it should go."""
MAX_TOKENS = 262_144
"""Token ids of one prompt that are looked at."""
_TOKEN_BYTES = 4


class OpenaiParser:
    """Reads model, stream and prompt. Lenient about everything else: the model server judges the rest."""

    paths: ClassVar[Sequence[str]] = (CHAT, "completions")

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) naming what is wrong and where."""
        document = _document(body)
        model = document.get("model")
        if not isinstance(model, str) or not model:
            raise _invalid("`model` is required: the name of the model to use, as a string", "model")
        prompts = _chat_prompts(document) if path.endswith(CHAT) else _completion_prompts(document.get("prompt"))
        return ParsedBody(model=model, stream=document.get("stream") is True, prompts=prompts)


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        raise _invalid("the request has no body; send a JSON object with `model`")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise _invalid("the body must be a JSON object with `model`")
    return document


def _chat_prompts(document: dict[str, Any]) -> Sequence[bytes]:
    """Return one prompt: tools first, then the messages in order, which is how chat templates lay them out."""
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("`messages` is required: a list with at least one message", "messages")
    tools = document.get("tools")
    parts = [_canonical_json(tools)] if tools else []
    for i, message in enumerate(messages):
        parts.extend(_message_parts(message, f"messages[{i}]"))
    return (b"".join(parts),)


def _message_parts(message: object, where: str) -> Iterator[bytes]:
    if not isinstance(message, dict):
        raise _invalid(f"`{where}` must be an object with `role` and `content`", where)
    role = message.get("role")
    if not isinstance(role, str):
        raise _invalid(f"`{where}.role` is required, as a string", f"{where}.role")
    yield b"\x00" + role.encode() + b"\x00"
    yield from _content_parts(message.get("content"), f"{where}.content")
    if message.get("tool_calls"):
        yield _canonical_json(message["tool_calls"])


def _content_parts(content: object, where: str) -> Iterator[bytes]:
    """Yield a message's content: its text as it is, anything else (images, audio) as canonical JSON."""
    if content is None:
        return
    if isinstance(content, str):
        yield content.encode()
        return
    if not isinstance(content, list):
        raise _invalid(f"`{where}` must be a string or a list of content parts", where)
    for i, part in enumerate(content):
        if isinstance(part, str):
            yield part.encode()
        elif isinstance(part, dict):
            text = part.get("text") if part.get("type") == "text" else None
            yield text.encode() if isinstance(text, str) else _canonical_json(part)
        else:
            raise _invalid(f"`{where}[{i}]` must be a content part, such as an object with `type`", f"{where}[{i}]")


def _completion_prompts(prompt: object) -> Sequence[bytes]:
    """Return the prompts of a string, a list of strings, a list of token ids, or a list of such lists."""
    if isinstance(prompt, str):
        return (prompt.encode(),)
    if not isinstance(prompt, list) or not prompt:
        raise _invalid("`prompt` is required: a string, a list of strings, or token ids", "prompt")
    if not isinstance(prompt[0], int):
        prompt = prompt[:MAX_PROMPTS]
    if all(isinstance(part, str) for part in prompt):
        return tuple(part.encode() for part in prompt)
    if all(isinstance(part, list) for part in prompt):
        return tuple(_tokens(part, f"prompt[{i}]") for i, part in enumerate(prompt))
    return (_tokens(prompt, "prompt"),)


def _tokens(ids: list[object], where: str) -> bytes:
    try:
        return b"".join(_token(one) for one in ids[:MAX_TOKENS])
    except (TypeError, OverflowError) as error:
        raise _invalid(
            f"`{where}` must hold strings, or token ids from 0 to 4294967295, and not a mixture", where
        ) from error


def _token(one: object) -> bytes:
    if not isinstance(one, int) or isinstance(one, bool):
        raise TypeError
    return one.to_bytes(_TOKEN_BYTES, "little")


def _canonical_json(value: object) -> bytes:
    """Return the same bytes for the same value, whatever the order of its keys was."""
    return msgspec.json.encode(value, order="deterministic")


def _invalid(message: str, param: str | None = None) -> Rejection:
    return Rejection(DropReason.BAD_REQUEST, message, param=param)
