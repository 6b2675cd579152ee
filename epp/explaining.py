"""``epp explain``: which endpoint a request would get from a configuration, and why, before it meets traffic."""

import ipaddress
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from prometheus_client import CollectorRegistry

from epp.assembled import Assembly, Surroundings
from epp.assembly import assemble_text
from epp.config.places import command_for
from epp.datalayer.static import parse_endpoints
from epp.director import ArrivedRequest, Director, Reporting
from epp.director.parsing import ParserTable
from epp.director.policies import Policies, policies_of
from epp.observability import Metrics, make_logger
from epp.plugin import (
    Adapters,
    ConfigurationError,
    Decision,
    Endpoint,
    EndpointSpec,
    FetchError,
    InFlight,
    Load,
)
from epp.scheduling.explain import LEAST_LEAD, explanation

MOST_NAMED = 4
"""Endpoints on one line; of more, only their number is told."""
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _AdapterNames(msgspec.Struct, forbid_unknown_fields=True):
    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    max_loaded: _Count | None = None


class _LoadNumbers(msgspec.Struct, forbid_unknown_fields=True):
    waiting: _Count | None = None
    running: _Count | None = None
    kv_cache_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    block_size_tokens: _Count | None = None
    block_count: _Count | None = None
    adapters: _AdapterNames | None = None
    custom: dict[str, float | None] = {}
    """``null`` for what is no number in JSON."""

    def load(self) -> Load:
        """Return them as plugins see them."""
        numbers = {name: getattr(self, name) for name in self.__struct_fields__}
        numbers["adapters"] = self.adapters and Adapters(**msgspec.structs.asdict(self.adapters))
        numbers["custom"] = {name: number for name, number in self.custom.items() if number is not None}
        return Load(**numbers)


class _SentNumbers(msgspec.Struct, forbid_unknown_fields=True):
    requests: _Count = 0
    unstarted: _Count = 0
    uncached_tokens: _Count = 0
    estimated_tokens: _Count = 0


class _SnapshotEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """One endpoint as ``/debug/endpoints`` has it."""

    name: str
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    namespace: str = "default"
    labels: dict[str, str] = {}
    ready: bool = True
    load: _LoadNumbers = msgspec.field(default_factory=_LoadNumbers)
    in_flight: _SentNumbers = msgspec.field(default_factory=_SentNumbers)

    def endpoint(self) -> Endpoint:
        """Return it as plugins see it."""
        spec = EndpointSpec(
            name=self.name, namespace=self.namespace, address=self.address, port=self.port, labels=self.labels
        )
        endpoint = Endpoint(spec, load=self.load.load(), ready=self.ready)
        endpoint.in_flight = InFlight(**msgspec.structs.asdict(self.in_flight))
        return endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, and who could get it."""

    body: bytes
    path: str
    head: Mapping[str, str]
    endpoints: Sequence[str] = ()
    """``HOST:PORT`` of live servers, whose metrics pages are fetched."""
    snapshot: bytes | None = None
    """In their place what ``/debug/endpoints`` has said."""


async def explain(config: str | None, question: Question, *, file: str = "FILE") -> Mapping[str, object]:
    """Return the decision as JSON has it; raises `ConfigurationError`, or `Rejection` for a request that is refused.

    ``file`` is where the configuration is from, for the hint after its problems.
    """
    metrics = Metrics(CollectorRegistry())
    log = make_logger(0, stream=sys.stderr)
    rng = random.Random(0)  # noqa: S311 - ties, the same each time
    try:
        assembly = assemble_text(config, Surroundings(metrics=metrics, log=log, random=rng))
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, f"`{command_for(file)}` shows the lines"]) from error
    pool = _read_snapshot(question.snapshot) if question.snapshot is not None else await _scrape(assembly, question)
    policies = Policies(rng)
    policies.use_file(policies_of(assembly.config))
    director = Director(
        pool=lambda: pool,
        parsers=ParserTable(assembly.parsers),
        producers=assembly.producers,
        admitters=assembly.admitters,
        scheduler=assembly.scheduler,
        reporting=Reporting(observers=assembly.observers, metrics=metrics, clock=time.monotonic, take=_Nowhere),
        rng=rng,
        log=log,
        log_requests=False,
        policies=policies,
    )
    head = {":path": question.path, ":method": "POST", **question.head}
    routed = await director.route(ArrivedRequest(head=head, body=question.body, subset=None))
    return _document(routed.request.model, routed.decision, pool)


def as_table(document: Mapping[str, object]) -> str:
    """Return an explanation for people."""
    lines = [f"model {document['model'] or '-'}: {', '.join(_texts(document['endpoints']))}"]
    lines += [f"  not ready: {name}" for name in _texts(document["not_ready"])]
    profiles = document["profiles"]
    assert isinstance(profiles, list)  # noqa: S101 - made above
    for profile in profiles:
        lines += _profile_lines(profile)
    return "\n".join(lines)


class _Nowhere:
    """Books of an endpoint that are thrown away."""

    def __init__(self, endpoint: Endpoint, uncached_tokens: int, *, output_tokens: int) -> None:
        """Count nothing."""

    def started(self, status: int | None) -> None:
        """Count nothing."""

    def ended(self) -> None:
        """Count nothing."""

    def went_elsewhere(self) -> None:
        """Count nothing."""


async def _scrape(assembly: Assembly, question: Question) -> list[Endpoint]:
    pool = []
    async with assembly.source.open_pages() as fetch:
        for spec in parse_endpoints(question.endpoints):
            endpoint = Endpoint(spec)
            try:
                endpoint.load = assembly.extractor.read_load(endpoint, await fetch(endpoint)).load
                endpoint.ready = True
            except (FetchError, TimeoutError) as error:
                sys.stderr.write(f"epp: {spec.name}: {str(error) or 'no answer in time'}\n")
            endpoint.scraped = endpoint.load
            assembly.observers.on_scraped(endpoint)
            pool.append(endpoint)
    return pool


def _read_snapshot(text: bytes) -> list[Endpoint]:
    try:
        pool = [one.endpoint() for one in msgspec.json.decode(text, type=list[_SnapshotEndpoint])]
    except ValueError as error:  # msgspec's own are some
        raise ConfigurationError([f"--snapshot: {error}"]) from error
    problems = [f"--snapshot: {problem}" for problem in _problems_of(pool)]
    if problems:
        raise ConfigurationError(problems)
    return pool


def _problems_of(pool: Sequence[Endpoint]) -> Iterator[str]:
    keys: set[str] = set()
    for i, endpoint in enumerate(pool):
        if not _is_address(endpoint.address):
            yield f"`{endpoint.address}` is no IP address - at `$[{i}].address`"
        if endpoint.key in keys:
            yield f"`{endpoint.key}` stands there twice - at `$[{i}]`"
        keys.add(endpoint.key)


def _is_address(text: str) -> bool:
    """Tell whether a gateway can route there; a zone such as ``%eth0`` says something on one machine only."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _document(model: str, decision: Decision, pool: Sequence[Endpoint]) -> Mapping[str, object]:
    return {
        "model": model,
        "endpoints": list(decision.destinations),
        "headers": dict(decision.headers),
        "not_ready": [endpoint.key for endpoint in pool if not endpoint.ready],
        "profiles": [explanation(result) for result in decision.results.values()],
    }


def _profile_lines(profile: Mapping[str, object]) -> list[str]:
    lines = [f"profile {profile['profile']}: {', '.join(_texts(profile['picked']))}"]
    removed, rows, flip = profile["removed"], profile["candidates"], profile["flip"]
    assert isinstance(removed, list)  # noqa: S101 - as `explanation` makes it
    assert isinstance(rows, list)  # noqa: S101 - likewise
    lines += [f"  removed by {one['by']}: {', '.join(one['endpoints'])}" for one in removed]
    lines += [f"  {line}" for line in _columns(rows)]
    lines += _lead_lines(profile["margin"], _texts(profile["tied"]))
    if isinstance(flip, dict):
        change = f"{flip['scorer']} at {flip['becomes']:.10g} in place of {flip['weight']:.10g}"
        lines.append(f"  {' or '.join(flip['winners'])} would win with {change}")
    return lines


def _lead_lines(margin: object, tied: Sequence[str]) -> list[str]:
    if tied:
        others = " and ".join(tied) if len(tied) <= MOST_NAMED else f"{len(tied)} others"
        return [f"  as good as {others}: the choice between them was by chance"]
    return [] if margin is None else [f"  ahead by {margin or f'less than {LEAST_LEAD:g}'}"]


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return rows as aligned text, under their names."""
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def read_question(
    request: str, *, path: str, headers: Sequence[str], endpoints: Sequence[str], snapshot: str | None
) -> Question:
    """Return what a command line asks; ``-`` for the request is standard input. Raises `OSError`."""
    body = sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes()
    head = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in headers)}
    saved = None if snapshot is None else Path(snapshot).read_bytes()
    return Question(body=body, path=path, head=head, endpoints=endpoints, snapshot=saved)


def as_json(document: Mapping[str, object]) -> str:
    """Return an explanation for programs."""
    return msgspec.json.format(msgspec.json.encode(document)).decode()
