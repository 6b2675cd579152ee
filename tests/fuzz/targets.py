"""What hostile inputs are thrown at, and what must hold of each."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from epp._pb import external_processor_pb2 as pb
from epp.director.json_bytes import close_json, replace_model
from epp.director.rewrite import ModelNameRestorer
from epp.director.usage import UsageReader
from epp.plugin import ParsedBody, Parser, Rejection
from epp_plugins.parsers.anthropic import AnthropicParser
from epp_plugins.parsers.openai import OpenaiParser
from epp_plugins.parsers.sglanghttp import SglanghttpParser
from epp_plugins.parsers.vllmgrpc import VllmgrpcParser
from epp_plugins.parsers.vllmhttp import VllmhttpParser
from tests.fakes import ext_proc
from tests.fakes.routed import make_routed
from tests.fuzz.inputs import mutated, pieces

PARSERS: list[Parser] = [OpenaiParser(), AnthropicParser(), VllmhttpParser(), SglanghttpParser(), VllmgrpcParser()]


def parsers(text: bytes, rng: random.Random) -> None:
    """Read it, or refuse it with 400; a body that is read and rewritten differs in its model and nothing else."""
    parser = rng.choice(PARSERS)
    try:
        parsed = parser.parse("/v1/" + rng.choice(parser.paths), text)
    except Rejection as rejection:
        assert rejection.refusal.status == 400, rejection
        return
    assert isinstance(parsed, ParsedBody)
    if parsed.is_rewritable:
        changed = replace_model(text, "another")
        assert changed is not None
        if (document := _decoded(text)) is not None:
            assert _decoded(changed) == document | {"model": "another"}


def cut_bodies(text: bytes, rng: random.Random) -> None:
    """Close what was cut; what was cut from a whole document is one again."""
    closed = close_json(text[: rng.randrange(len(text) + 1)])
    if isinstance(_decoded(text), dict) and closed.strip():
        assert isinstance(_decoded(closed), dict), closed


def _decoded(text: bytes) -> Any:
    """Return what some JSON says, ``None`` for what is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def usage(text: bytes, rng: random.Random) -> None:
    """Read the same counts whatever the chunks."""
    whole, split = UsageReader(), UsageReader()
    whole.feed(text)
    for piece in pieces(text, rng):
        split.feed(piece)
    assert whole.usage == split.usage


def restorer(text: bytes, rng: random.Random) -> None:
    """Name the model back the same whatever the chunks."""
    whole = ModelNameRestorer(served="served", client="client")
    split = ModelNameRestorer(served="served", client="client")
    expected = whole.feed(text) + whole.rest()
    assert b"".join([split.feed(piece) for piece in pieces(text, rng)]) + split.rest() == expected


def session(text: bytes, rng: random.Random) -> None:
    """Take any messages in any order, and give back what full duplex needs."""
    messages = [_message(piece, rng) for piece in pieces(text, rng)]
    one = ext_proc.new_session(max_body_bytes=10_000)
    ext_proc.exchange(*messages, session=one, routed=make_routed(rewrite=rng.choice((None, ("client", "served")))))
    assert 0 <= one.held_bytes <= 10_000


def _message(piece: bytes, rng: random.Random) -> pb.ProcessingRequest:
    end = rng.random() < 0.3
    mode = rng.choice((None, 0, 1, 2, 3, 4, 5, 99))
    return rng.choice(
        (
            lambda: ext_proc.head(request_mode=mode, response_mode=rng.randrange(6), end_of_stream=end),
            lambda: ext_proc.body(piece, end=end),
            lambda: ext_proc.body(piece, end=end),
            lambda: ext_proc.TRAILERS,
            lambda: ext_proc.response_head(end=end),
            lambda: ext_proc.response_body(piece, end=end),
            lambda: ext_proc.response_body(piece, end=end),
            lambda: ext_proc.RESPONSE_TRAILERS,
            lambda: _from_bytes(piece),
        )
    )()


def _from_bytes(piece: bytes) -> pb.ProcessingRequest:
    """Return what a gateway could have meant by any bytes."""
    try:
        return pb.ProcessingRequest.FromString(piece)
    except DecodeError:
        # gRPC refuses such a message before a session sees it.
        return pb.ProcessingRequest()


TARGETS: Mapping[str, Callable[[bytes, random.Random], None]] = {
    "parsers": parsers,
    "cut bodies": cut_bodies,
    "usage reader": usage,
    "model restorer": restorer,
    "session": session,
}


def run(name: str, seed: int, count: int) -> None:
    """Throw some inputs at one target; an `AssertionError` or any other one says which."""
    target = TARGETS[name]
    for number in range(seed, seed + count):
        rng = random.Random(number)
        text = mutated(rng)
        try:
            target(text, rng)
        except BaseException as error:
            error.add_note(f"{name}, input {number}: {text[:500]!r}")
            raise
