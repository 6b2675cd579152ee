"""``vllmgrpc-parser``: vLLM's gRPC service."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from google.protobuf.message import DecodeError

from epp.plugin import ParsedBody
from epp_plugins._pb.vllm_engine_pb2 import EmbedRequest, GenerateRequest
from epp_plugins.parsers.canonical import canonical_json, digest, fold_media, token_bytes
from epp_plugins.parsers.document import invalid

SERVICE = "vllm.grpc.engine.VllmEngine"
_PREFIX_BYTES = 5
"""Of a gRPC message: whether it is compressed, and its length in four bytes, the most significant first."""


class VllmgrpcParser:
    """Reads stream, output limit and prompt of ``Generate`` and ``Embed``. There is no model in them."""

    paths: ClassVar[Sequence[str]] = (f"{SERVICE}/Generate", f"{SERVICE}/Embed")

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the message says; raises `Rejection` (400) for one that is torn, compressed or without input."""
        message = _message(body)
        try:
            if path.endswith("/Embed"):
                return _embed(EmbedRequest.FromString(message))
            return _generate(GenerateRequest.FromString(message))
        except DecodeError as error:
            raise invalid(f"the gRPC message is not one of {path}: {error}") from error


def _message(body: bytes) -> bytes:
    if len(body) < _PREFIX_BYTES:
        raise invalid("the request has no gRPC message")
    if body[0]:
        raise invalid("the gRPC message is compressed, which cannot be read here; send it uncompressed")
    length = int.from_bytes(body[1:_PREFIX_BYTES])
    message = body[_PREFIX_BYTES : _PREFIX_BYTES + length]
    if len(message) < length:
        raise invalid(f"the gRPC message is torn: {len(message)} of {length} bytes")
    return message


def _generate(request: GenerateRequest) -> ParsedBody:
    params = request.sampling_params
    if request.WhichOneof("input") is None:
        raise invalid("the request has neither text nor token ids")
    prompt, places = request.text.encode(), list(_media_places(request))
    has_token_ids = request.HasField("tokenized")
    has_media = bool(places or request.media_refs.items)
    if has_token_ids:
        prompt = fold_media(token_bytes(list(request.tokenized.input_ids), "input_ids"), places)
    if request.media_refs.items:
        # Where these stand in the prompt only the engine knows.
        prompt = b"\x01" + digest(canonical_json([item.url for item in request.media_refs.items])) + prompt
    return ParsedBody(
        model="",
        stream=request.stream,
        max_output_tokens=params.max_tokens if params.HasField("max_tokens") else None,
        prompts=(prompt,),
        has_token_ids=has_token_ids and not has_media,
        has_media=has_media,
    )


def _media_places(request: GenerateRequest) -> Iterator[tuple[int, int, str]]:
    for batch in (request.mm_inputs, *request.extra_mm_inputs):
        for place, name in zip(batch.mm_placeholders, batch.mm_hashes, strict=False):
            yield place.offset, place.length, name


def _embed(request: EmbedRequest) -> ParsedBody:
    if not request.tokenized.input_ids:
        raise invalid("the request has no token ids")
    prompt = token_bytes(list(request.tokenized.input_ids), "input_ids")
    return ParsedBody(model="", prompts=(prompt,), has_token_ids=True)
