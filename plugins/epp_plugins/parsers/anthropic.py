"""``anthropic-parser``: the Messages API."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import ParsedBody
from epp_plugins.parsers.canonical import conversation, has_media
from epp_plugins.parsers.document import invalid, read_document, read_model, read_text, read_tokens_wanted

COUNT = "messages/count_tokens"


class AnthropicParser:
    """Reads model, stream, output limit, salt and prompt. Counting tokens fills no cache, so there it has no prompt."""

    paths: ClassVar[Sequence[str]] = ("messages", COUNT)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) naming what is wrong and where."""
        document = read_document(body)
        model = read_model(document)
        messages = document.get("messages")
        if not isinstance(messages, list) or not messages:
            raise invalid("`messages` is required: a list with at least one message", "messages")
        prompt = conversation(messages, document.get("tools"), "messages", system=document.get("system"))
        return ParsedBody(
            model=model,
            stream=document.get("stream") is True,
            max_output_tokens=read_tokens_wanted(document, "max_tokens"),
            cache_salt=read_text(document, "cache_salt"),
            prompts=() if path.endswith(COUNT) else (prompt,),
            has_media=has_media(messages),
            is_rewritable=True,
        )
