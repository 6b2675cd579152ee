"""``vllmhttp-parser``: vLLM's own API for prompts that are tokenised already."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from epp.plugin import ParsedBody
from epp_plugins.parsers.canonical import fold_media, token_bytes
from epp_plugins.parsers.document import (
    Document,
    invalid,
    read_document,
    read_object,
    read_optional_model,
    read_text,
    read_tokens_wanted,
)


class VllmhttpParser:
    """Reads model, stream, output limit, salt and token ids, with the hashes of images in their places."""

    paths: ClassVar[Sequence[str]] = ("inference/v1/generate",)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) naming what is wrong and where."""
        document = read_document(body)
        ids = document.get("token_ids")
        if not isinstance(ids, list) or not ids:
            raise invalid("`token_ids` is required: a list of token ids", "token_ids")
        model = read_optional_model(document)
        return ParsedBody(
            model=model,
            stream=document.get("stream") is True,
            max_output_tokens=read_tokens_wanted(read_object(document, "sampling_params"), "max_tokens"),
            cache_salt=read_text(document, "cache_salt"),
            prompts=(fold_media(token_bytes(ids, "token_ids"), _media_places(document)),),
            has_token_ids=not document.get("features"),
            has_media=bool(document.get("features")),
            is_rewritable=bool(model),
        )


def _media_places(document: Document) -> Iterator[tuple[int, int, str]]:
    """Yield where media stand, from their hashes and placeholders by modality; what makes no sense is left out."""
    features = read_object(document, "features")
    placeholders = read_object(features, "mm_placeholders")
    for modality, hashes in read_object(features, "mm_hashes").items():
        places = placeholders.get(modality)
        if not isinstance(hashes, list) or not isinstance(places, list):
            continue
        for name, place in zip(hashes, places, strict=False):
            if isinstance(place, dict) and isinstance(name, str):
                offset = read_tokens_wanted(place, "offset")
                length = read_tokens_wanted(place, "length")
                if offset is not None and length is not None:
                    yield offset, length, name
