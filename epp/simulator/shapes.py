"""What OpenAI requests ask for and what the answers look like, for the two APIs that the simulator speaks."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from epp.simulator.engine import Running

DEFAULT_OUTPUT_TOKENS = 16
MAX_OUTPUT_TOKENS = 1_000_000
_WORDS = ("The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", " and", " runs", " away", ".")

Json = dict[str, Any]


class InvalidRequestError(ValueError):
    """The request cannot be served; the message goes to the client."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Shape(Protocol):
    """One API's way to ask and to answer."""

    name: str
    chunk_name: str

    def prompt(self, document: Mapping[str, Any]) -> bytes:
        """Return the prompt's text; raises `InvalidRequestError`."""
        ...

    def whole(self, text: str) -> Json:
        """Return the choice of an answer in one piece."""
        ...

    def part(self, text: str, *, is_first: bool, is_last: bool) -> Json:
        """Return the choice of one chunk of a streamed answer."""
        ...


class ChatShape:
    """``/v1/chat/completions``."""

    name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def prompt(self, document: Mapping[str, Any]) -> bytes:
        """Return the messages in order, each after its role."""
        messages = document.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequestError("messages: at least one is required")
        if not all(isinstance(message, dict) for message in messages):
            raise InvalidRequestError("messages: each must be an object")
        return "".join(f"<{message.get('role')}>{_text(message.get('content'))}" for message in messages).encode()

    def whole(self, text: str) -> Json:
        """Return a choice with a message."""
        return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}

    def part(self, text: str, *, is_first: bool, is_last: bool) -> Json:
        """Return a choice with a delta."""
        delta = ({"role": "assistant"} if is_first else {}) | {"content": text}
        return {"index": 0, "delta": delta, "finish_reason": "length" if is_last else None}


class CompletionShape:
    """``/v1/completions``."""

    name = "text_completion"
    chunk_name = "text_completion"

    def prompt(self, document: Mapping[str, Any]) -> bytes:
        """Return the prompt, a string or anything else as its JSON."""
        prompt = document.get("prompt")
        if not prompt:
            raise InvalidRequestError("prompt: is required")
        return prompt.encode() if isinstance(prompt, str) else msgspec.json.encode(prompt)

    def whole(self, text: str) -> Json:
        """Return a choice with text."""
        return {"index": 0, "text": text, "finish_reason": "length"}

    def part(self, text: str, *, is_first: bool, is_last: bool) -> Json:
        """Return a choice with some text."""
        return {"index": 0, "text": text, "finish_reason": "length" if is_last else None}


def output_tokens(document: Mapping[str, Any]) -> int:
    """Return how many tokens the answer has, as many as the client allows; raises `InvalidRequestError`."""
    for key in ("max_completion_tokens", "max_tokens"):
        value = document.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_OUTPUT_TOKENS:
            raise InvalidRequestError(f"{key}: must be a whole number from 1 to {MAX_OUTPUT_TOKENS}")
        return value
    return DEFAULT_OUTPUT_TOKENS


def usage(running: Running) -> Json:
    """Return the ``usage`` of a finished answer."""
    return {
        "prompt_tokens": running.prompt_tokens,
        "completion_tokens": running.output_tokens,
        "total_tokens": running.prompt_tokens + running.output_tokens,
        "prompt_tokens_details": {"cached_tokens": running.cached_tokens},
    }


def word(number: int) -> str:
    """Return the text of an output token."""
    return _WORDS[number % len(_WORDS)]


def _text(content: object) -> str:
    """Return a message's content; of a list of parts, their texts, and anything else as JSON."""
    if isinstance(content, list):
        return "".join(_text(part.get("text", part)) if isinstance(part, dict) else str(part) for part in content)
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()
