"""``openai-parser``: the OpenAI API."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from epp.plugin import ParsedBody
from epp_plugins.parsers.canonical import conversation, has_media, is_token_ids, items, texts_or_tokens
from epp_plugins.parsers.document import (
    Document,
    invalid,
    read_document,
    read_model,
    read_optional_model,
    read_text,
    read_tokens_wanted,
)


class OpenaiParser:
    """Reads model, stream, output limit, salt and prompt. Lenient about all else: the model server judges the rest."""

    paths: ClassVar[Sequence[str]] = (
        "chat/completions",
        "chat/completions/render",
        "completions",
        "completions/render",
        "embeddings",
        "responses",
        "conversations",
        "images/generations",
    )

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) naming what is wrong and where."""
        document = read_document(body)
        api = next(api for api in _PROMPTS if path.removesuffix("/render").endswith(api))
        needs_model = api not in _WITHOUT_MODEL
        model = read_model(document) if needs_model else read_optional_model(document)
        return ParsedBody(
            model=model,
            stream=document.get("stream") is True,
            max_output_tokens=read_tokens_wanted(document, "max_completion_tokens", "max_tokens", "max_output_tokens"),
            cache_salt=read_text(document, "cache_salt"),
            prompt_cache_key=read_text(document, "prompt_cache_key"),
            prompts=_PROMPTS[api](document),
            has_token_ids=api in _WITH_TOKEN_IDS and is_token_ids(document.get(_WITH_TOKEN_IDS[api])),
            has_media=has_media(document.get("messages")) or has_media(document.get("input")),
            is_rewritable=bool(model),
        )


def _chat(document: Document) -> Sequence[bytes]:
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("`messages` is required: a list with at least one message", "messages")
    return (conversation(messages, _template_inputs(document), "messages"),)


def _template_inputs(document: Document) -> dict[str, object]:
    """Return the members, beside the messages, that a chat template makes a prompt of."""
    return document.those(_TEMPLATE_INPUTS)


def _completions(document: Document) -> Sequence[bytes]:
    return texts_or_tokens(document.get("prompt"), "prompt")


def _embeddings(document: Document) -> Sequence[bytes]:
    if "messages" in document:
        return _chat(document)
    return texts_or_tokens(document.get("input"), "input")


def _responses(document: Document) -> Sequence[bytes]:
    before = conversation([], _template_inputs(document), "input", system=read_text(document, "instructions"))
    return (before + items(document.get("input"), "input"),)


def _conversations(document: Document) -> Sequence[bytes]:
    return (items(document.get("items"), "items"),)


def _images(document: Document) -> Sequence[bytes]:
    prompt = document.get("prompt")
    if not isinstance(prompt, str):
        raise invalid("`prompt` is required, as a string", "prompt")
    return (prompt.encode(),)


# The longer of two that end alike comes first.
_PROMPTS: Mapping[str, Callable[[Document], Sequence[bytes]]] = {
    "chat/completions": _chat,
    "completions": _completions,
    "embeddings": _embeddings,
    "responses": _responses,
    "conversations": _conversations,
    "images/generations": _images,
}
_TEMPLATE_INPUTS = (
    "tools",
    "functions",
    "documents",
    "chat_template",
    "chat_template_kwargs",
    "mm_processor_kwargs",
    "reasoning_effort",
)
_WITH_TOKEN_IDS = {"completions": "prompt", "embeddings": "input"}
"""APIs that take prompts as token ids, and the member that has them."""
_WITHOUT_MODEL = frozenset({"conversations", "images/generations"})
"""APIs in which the model is optional."""
