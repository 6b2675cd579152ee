"""Keeps up with the objects of one kind: a list, and then a watch from there on, as long as it lasts.

A watch goes on from the last object or bookmark that was seen. It begins anew with a list when the server has forgotten
that point (410), and after a while of silence, since a connection can die without a word.
"""

import asyncio
import contextlib
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import msgspec
from structlog.typing import FilteringBoundLogger

from epp.kube.connection import FORBIDDEN, GONE, NOT_FOUND, TIMEOUT, Api, KubeError, error_of
from epp.kube.objects import KubeObject, Named, ObjectList, Versioned, WatchEvent
from epp.observability import Metrics

PAGE_OBJECTS = 500
"""Objects asked for at a time."""
OBJECTS_PER_TURN = 100
"""Objects read before others get their turn on the loop."""
WATCH_S = 60
"""How long the server is asked to keep a watch open: a new one costs little, and goes on where the old one was."""
SILENCE_S = WATCH_S + 15.0
"""How long a watch may say nothing before it is given up."""
SHORTEST_WATCH_S = 1.0
"""A watch that ends sooner is a failure: the next one has to wait."""
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
"""Also of what the server asks for."""
FAILURES_UNTIL_LIST = 5
"""So many in a row, and it begins anew: the point to go on from may be what the server does not like."""

BEGIN_ANEW = frozenset({GONE, TIMEOUT})
"""The second is said of a version that the server has not got to, as after a restored backup."""

T = TypeVar("T", bound=KubeObject)
T_contra = TypeVar("T_contra", bound=KubeObject, contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeContext:
    """What everything needs that talks to an API server."""

    api: Api
    namespace: str
    """The one that this picker looks at."""
    metrics: Metrics
    log: FilteringBoundLogger
    random: random.Random


class Listener(Protocol[T_contra]):
    """Whoever wants to know."""

    def replaced(self, objects: Sequence[T_contra], unread: Collection[str]) -> None:
        """Take note that these are all there are, and some that cannot be read: they are what they were."""
        ...

    def changed(self, one: T_contra) -> None:
        """Take note that one is new, or is different."""
        ...

    def removed(self, one: T_contra) -> None:
        """Take note that one is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What is followed."""

    path: str
    """Of the collection, such as ``/api/v1/namespaces/default/pods``."""
    type: type[T]
    params: Mapping[str, str] = field(default_factory=dict)
    """Such as ``labelSelector``."""
    may_be_absent: bool = False
    """Whether the server may not know it: then that is for whoever follows it."""

    @property
    def name(self) -> str:
        """The resource, such as ``pods``."""
        return self.path.rpartition("/")[2]


class Reflector(Generic[T]):
    """Follows one kind until cancelled, whatever the API server does."""

    def __init__(self, context: KubeContext, kind: Kind[T], listener: Listener[T]) -> None:
        self._api = context.api
        self._kind = kind
        self._listener = listener
        self._decoder = msgspec.json.Decoder(kind.type)
        self._metrics = context.metrics
        self._log = context.log.bind(resource=kind.name)
        self._random = context.random
        self._version = ""
        """Where to watch from; empty: a list comes first."""
        self._failures = 0
        """In a row."""
        self._complaint = ""

    async def run(self) -> None:
        """Follow until cancelled; raises `KubeError` (404) only for a kind that may be absent, and is."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except KubeError as error:
                self._metrics.kube_failed(self._kind.name, error.status)
                if error.status == NOT_FOUND and self._kind.may_be_absent:
                    self._version = ""
                    raise
                self._note(error)
                if error.status in BEGIN_ANEW or self._failures % FAILURES_UNTIL_LIST == 0:
                    self._version = ""
                await asyncio.sleep(self._pause_s(error))

    async def _list(self) -> None:
        """Tell of all objects that there are."""
        path, found, unread = self._kind.path, list[T](), set[str]()
        params = {**self._kind.params, "limit": str(PAGE_OBJECTS)}
        while True:
            page = decoded(await self._api.request("GET", path, params=params), ObjectList, f"GET {path}")
            for start in range(0, len(page.items), OBJECTS_PER_TURN):
                for raw in page.items[start : start + OBJECTS_PER_TURN]:
                    one = self._read(raw)
                    if isinstance(one, str):
                        unread.add(one)
                    else:
                        found.append(one)
                await asyncio.sleep(0)
            if not page.metadata.continue_:
                break
            if page.metadata.continue_ == params.get("continue"):
                raise KubeError(f"GET {path}: a page leads to itself, so the list would never end")
            params["continue"] = page.metadata.continue_
        if not page.metadata.resource_version:
            raise KubeError(f"GET {path}: the list does not say its resourceVersion")
        self._listener.replaced(found, unread)
        self._version = page.metadata.resource_version

    async def _watch(self) -> None:
        """Tell of changes until the server ends the watch."""
        path, loop = self._kind.path, asyncio.get_running_loop()
        params = {
            **self._kind.params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_S),
        }
        works_at_s = loop.time() + SHORTEST_WATCH_S
        async with contextlib.aclosing(self._api.lines(path, params=params, silence_s=SILENCE_S)) as chunks:
            async for lines in chunks:
                for line in filter(bytes.strip, lines):
                    self._tell(decoded(line, WatchEvent, f"watch {path}"))
                if loop.time() >= works_at_s:
                    self._works()
        if loop.time() < works_at_s:
            raise KubeError(f"watch {path}: it ended at once")
        self._works()

    def _tell(self, event: WatchEvent) -> None:
        """Pass an event on."""
        if event.type == "ERROR":
            raise error_of(bytes(event.object), None, f"watch {self._kind.path}")
        if event.type != "BOOKMARK":
            one = self._read(event.object)
            if not isinstance(one, str):
                if event.type == "DELETED":
                    self._listener.removed(one)
                else:
                    self._listener.changed(one)
        self._version = _version_of(event.object) or self._version

    def _read(self, raw: msgspec.Raw) -> T | str:
        """Return an object; after noting it, the name of one that is not as it should be: it stays as it was."""
        try:
            return self._decoder.decode(raw)
        except UNREADABLE as error:
            self._metrics.kube_failed(self._kind.name, None)
            name = _name_of(raw)
            self._log.warning("kube_object_unreadable", name=name, error=str(error))
            return name

    def _works(self) -> None:
        """Take note that the server answers."""
        self._failures = 0
        if self._complaint:
            self._complaint = ""
            self._log.info("kube_watch_works_again")

    def _note(self, error: KubeError) -> None:
        """Log a failure, once while it stays the same."""
        self._failures += 1
        if str(error) == self._complaint:
            return
        self._complaint = str(error)
        more = {"needs": f"get, list and watch on {self._kind.name}"} if error.status == FORBIDDEN else {}
        self._log.warning("kube_watch_failed", error=str(error), **more)

    def _pause_s(self, error: KubeError) -> float:
        """Return how long to leave the server alone: longer each time, and never all pickers at once."""
        pause_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, 10))
        return max(pause_s * self._random.uniform(0.8, 1.2), min(error.retry_after_s, LONGEST_BACKOFF_S))


S = TypeVar("S")
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decoded(content: bytes | msgspec.Raw, kind: type[S], what: str) -> S:
    """Return what an answer says; raises `KubeError` for one that is not what it should be."""
    try:
        return msgspec.json.decode(content, type=kind)
    except UNREADABLE as error:
        raise KubeError(f"{what}: {error}") from error


def _version_of(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=Versioned).metadata.resource_version or ""
    except UNREADABLE:
        return ""


def _name_of(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=Named).metadata.name or ""
    except UNREADABLE:
        return ""
