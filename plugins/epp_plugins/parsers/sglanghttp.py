"""``sglanghttp-parser``: SGLang's own API."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import ParsedBody
from epp_plugins.parsers.canonical import canonical_json, digest, is_token_ids, texts_or_tokens
from epp_plugins.parsers.document import (
    Document,
    invalid,
    read_document,
    read_object,
    read_tokens_wanted,
)

_MEDIA = ("image_data", "video_data", "audio_data")


class SglanghttpParser:
    """Reads stream, output limit, salt (``extra_key``) and the prompt as token ids or text. There is no model."""

    paths: ClassVar[Sequence[str]] = ("generate",)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) naming what is wrong and where."""
        document = read_document(body)
        salt = document.get("extra_key")
        if salt is not None and not isinstance(salt, str):
            raise invalid("`extra_key` must be a string", "extra_key")
        return ParsedBody(
            model="",
            stream=document.get("stream") is True,
            max_output_tokens=read_tokens_wanted(read_object(document, "sampling_params"), "max_new_tokens"),
            cache_salt=salt or "",
            prompts=_prompts(document),
            has_media=bool(_media(document)),
            has_token_ids=is_token_ids(document.get("input_ids")) and not _media(document),
        )


def _prompts(document: Document) -> Sequence[bytes]:
    """Return the prompts, each after the digest of all media: where those stand in it only the engine knows."""
    name = "input_ids" if document.get("input_ids") is not None else "text"
    prompts = texts_or_tokens(document.get(name), name)
    media = _media(document)
    before = b"\x01" + digest(canonical_json(media)) if media else b""
    return tuple(before + prompt for prompt in prompts)


def _media(document: Document) -> Sequence[object]:
    return [document.get(name) for name in _MEDIA if document.get(name)]
