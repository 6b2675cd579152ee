"""What a request costs the picker itself, without a transport: ``make bench-micro``.

A chat request as Envoy shows it in full duplex, response headers only, with the default profile. CPU of this process.
"""

import asyncio
import io
import random
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.datalayer import Datastore
from epp.director import Director, Reporting
from epp.director.parsing import ParserTable
from epp.extproc.rpc import METHOD, Handler, StreamLostError
from epp.extproc.service import ExtProcService, Limits
from epp.observability import Metrics, make_logger
from epp.plugin import EndpointSpec, Load, Reading
from epp.plugin.endpoint import Settling

BODIES_BYTES = (1_000, 40_000, 400_000)
ROUNDS = 40
"""Machines are shared, and change their speed by two: the least disturbed round counts."""
HEAD = {
    ":authority": "127.0.0.1:44801",
    ":path": "/v1/chat/completions",
    ":method": "POST",
    ":scheme": "http",
    "content-type": "application/json",
    "x-forwarded-proto": "http",
    "x-request-id": "173dede7-e491-421b-aef2-0b066bf292bb",
}
ANSWER = {
    ":status": "200",
    "content-type": "application/json",
    "date": "Sat, 21 Nov 2026 18:20:13 GMT",
    "server": "uvicorn",
    "x-envoy-upstream-service-time": "11",
}
CHUNK = b'data: {"choices": [{"text": "e"}]}\n\n'
MESSAGE_BYTES = 16_384
"""What Envoy puts into one message."""


def headers_of(head: dict[str, str]) -> pb.HttpHeaders:
    """Return headers as Envoy shows them."""
    return pb.HttpHeaders(
        headers=HeaderMap(headers=[HeaderValue(key=name, raw_value=value.encode()) for name, value in head.items()])
    )


def messages_of(body_bytes: int, *, chunks: int = 0) -> list[bytes]:
    """Return what Envoy sends for a request with a body of this size, and for its answer: its head, and its pieces."""
    body = b'{"model": "tiny", "messages": [{"role": "user", "content": "%s"}]}' % (
        b"an endpoint picker " * (body_bytes // 19)
    )
    head = pb.ProcessingRequest(request_headers=headers_of({**HEAD, "content-length": str(len(body))}))
    head.protocol_config.request_body_mode = ProcessingMode.FULL_DUPLEX_STREAMED
    pieces = [
        pb.ProcessingRequest(request_body=pb.HttpBody(body=body[start : start + MESSAGE_BYTES]))
        for start in range(0, len(body), MESSAGE_BYTES)
    ]
    end = pb.ProcessingRequest(request_body=pb.HttpBody(end_of_stream=True))
    answer = pb.ProcessingRequest(response_headers=headers_of(ANSWER))
    if chunks:
        head.protocol_config.response_body_mode = ProcessingMode.FULL_DUPLEX_STREAMED
    shown = [pb.ProcessingRequest(response_body=pb.HttpBody(body=CHUNK)) for _ in range(chunks)]
    return [message.SerializeToString() for message in (head, *pieces, end, answer, *shown)]


class Call:
    """A stream whose messages are there already, and which is cancelled after them, as Envoy does."""

    def __init__(self, messages: Iterable[bytes]) -> None:
        self._messages: Iterator[bytes] = iter(messages)
        self.written: list[bytes] = []

    async def read(self) -> bytes | None:
        """Return the next message; raises `StreamLostError` after the last one."""
        for message in self._messages:
            return message
        raise StreamLostError

    async def write(self, messages: Iterable[bytes]) -> None:
        """Keep answers."""
        self.written.extend(messages)

    async def lost(self) -> None:
        """Be there."""

    def cancel(self) -> None:
        """Have nothing to wait for."""


def make_handler(endpoints: int) -> Handler:
    """Return the service as a transport calls it."""
    rng, settling = random.Random(0), Settling(until_s=0.0)  # noqa: S311 - picks, not secrets
    log, metrics = make_logger(0, stream=io.StringIO()), Metrics(CollectorRegistry())
    assembly = assemble_text(None, Surroundings(metrics=metrics, log=log, random=rng, settling=settling))
    # As after a minute: the pool has settled.
    store = Datastore(clock=lambda: time.monotonic() - 60.0, log=log, on_removed=lambda _: None, settling=settling)
    store.replace([EndpointSpec(name=f"pod-{i}", address=f"10.0.0.{i}", port=8000) for i in range(1, endpoints + 1)])
    for one in store.endpoints():
        store.scraped(one, Reading(load=Load(waiting=rng.randrange(5), running=9, kv_cache_ratio=rng.random())))
    director = Director(
        pool=store.endpoints,
        parsers=ParserTable(assembly.parsers),
        producers=assembly.producers,
        scheduler=assembly.scheduler,
        reporting=Reporting(observers=assembly.observers, metrics=metrics, clock=time.monotonic, take=store.routed),
        rng=rng,
        log=log,
        log_requests=False,
    )
    limits = Limits(max_request_body_bytes=2**24, max_held_body_bytes=2**30, stream_idle_timeout_s=300.0)
    return ExtProcService(director, limits=limits, metrics=metrics, log=log).methods[METHOD]


async def request_us(handler: Handler, messages: list[bytes], *, count: int) -> float:
    """Return what a request costs in microseconds; raises `RuntimeError` when it is not answered."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        calls = [Call(messages) for _ in range(count)]
        started = time.process_time()
        for call in calls:
            await handler(call)
        fastest = min(fastest, (time.process_time() - started) / count * 1e6)
        if not all(len(call.written) > 2 for call in calls):  # noqa: PLR2004 - head, body, response head
            raise RuntimeError("a request was not answered")
    return fastest


async def main() -> None:
    """Print the table."""
    print("| body | endpoints | a request takes us |\n|---|---|---|")
    for body_bytes in BODIES_BYTES:
        for endpoints in (10, 100):
            handler, messages = make_handler(endpoints), messages_of(body_bytes)
            taken_us = await request_us(handler, messages, count=max(5, 200_000 // (body_bytes + 1_000)))
            print(f"| {body_bytes // 1000} KB | {endpoints} | {taken_us:.0f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
