"""An API server as far as a picker uses one: lists, watches with bookmarks, resource versions and 410, updates.

It speaks HTTP on loopback, so the client under test is the real one. A test makes it fail as API servers do.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports

Json = dict[str, Any]
CORE = "/api/v1"
POOLS = "/apis/inference.networking.k8s.io/v1"
OLD_GROUP = "/apis/inference.networking.x-k8s.io/v1alpha2"
NEW_GROUP = "/apis/llm-d.ai/v1alpha2"
LEASES = "/apis/coordination.k8s.io/v1"


def status(code: int, message: str, reason: str = "") -> Json:
    """Return what an API server says in place of what it was asked for."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


GROUP_PARTS = 3
"""Of a path: ``apis``, a group and its version. The core has no group, and no more than its version is asked of it."""


@dataclass
class _Change:
    version: int
    collection: str
    before: Json | None
    after: Json | None


@dataclass
class KubeApi:
    """The objects, and how the server misbehaves."""

    namespace: str = "default"
    kinds: set[str] = field(default_factory=lambda: {f"{CORE}/pods", f"{POOLS}/inferencepools", f"{LEASES}/leases"})
    """Group, version and resource, as in a path; what is not here is 404."""
    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    """By collection, such as ``/api/v1/pods``, and name."""
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Statuses and messages of the next requests for objects; what kinds there are is asked at any moment."""
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and message by the path's end or beginning."""
    is_silent: bool = False
    """Watches are taken and say nothing."""
    bookmark_every_s: float = 3600.0
    conflicts: int = 0
    """How many of the next updates meet another one."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path with query, in their order."""
    port: int = 0
    _version: int = 100
    _oldest: int = 0
    _history: list[_Change] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    def put(self, collection: str, one: Json) -> Json:
        """Make or change an object."""
        known = self.objects.setdefault(collection, {})
        self._version += 1
        metadata = one.setdefault("metadata", {})
        metadata["resourceVersion"] = str(self._version)
        metadata.setdefault("namespace", self.namespace)
        metadata.setdefault("creationTimestamp", f"2026-01-01T00:00:{len(known) % 60:02d}Z")
        before = known.get(metadata["name"])
        known[metadata["name"]] = one
        self._tell(_Change(self._version, collection, before, one))
        return one

    def delete(self, collection: str, name: str) -> None:
        """Delete an object."""
        one = self.objects[collection].pop(name)
        self._version += 1
        one = {**one, "metadata": {**one["metadata"], "resourceVersion": str(self._version)}}
        self._tell(_Change(self._version, collection, one, None))

    def forget_history(self) -> None:
        """Compact: watches from before now are gone."""
        self._oldest = self._version
        self._history.clear()

    def break_watches(self) -> None:
        """Cut the connections of all watches."""
        for watch in self._watches:
            watch.cancel()

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._watches)

    async def start(self) -> None:
        """Listen, on the same port each time."""
        self.port = self.port or free_ports(HOST, [0])[0]
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()

    async def stop(self) -> None:
        """Be away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def kubeconfig(self, folder: Path) -> Path:
        """Write how to get here; returns the file."""
        file = folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://{HOST}:{self.port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}
        user = {"name": "u", "user": {"token": "t"}}
        file.write_text(
            yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"})
        )
        return file

    def _tell(self, change: _Change) -> None:
        self._history.append(change)
        self._news.set()
        self._news = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        is_for_objects = len(request.path.strip("/").split("/")) > GROUP_PARTS
        if self.failures and is_for_objects:
            code, message = self.failures.pop(0)
            return web.json_response(status(code, message), status=code)
        for place, (code, message) in self.refusals.items():
            if request.path.startswith(place) or request.path.endswith(place):
                return web.json_response(status(code, message), status=code)
        return await self._served(request)

    async def _served(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        length = GROUP_PARTS - 1 if parts[0] == "api" else GROUP_PARTS
        group, rest = "/" + "/".join(parts[:length]), parts[length:]
        if not rest:
            return self._discovery(group)
        if rest[0] == "namespaces":
            rest = rest[2:]
        collection = f"{group}/{rest[0]}"
        if collection not in self.kinds:
            return web.Response(text="404 page not found\n", status=404)
        if request.method == "GET" and len(rest) == 1:
            return await self._collection(request, collection)
        return await self._one(request, collection, rest[1] if len(rest) > 1 else "")

    def _discovery(self, group: str) -> web.Response:
        names = [kind.rpartition("/")[2] for kind in self.kinds if kind.rpartition("/")[0] == group]
        if not names:
            return web.Response(text="404 page not found\n", status=404)
        return web.json_response({"kind": "APIResourceList", "resources": [{"name": name} for name in names]})

    async def _collection(self, request: web.Request, collection: str) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request, collection)
        matching = [one for one in self.objects.get(collection, {}).values() if _matches(one, request)]
        limit, start = int(request.query.get("limit", 0)), int(request.query.get("continue", 0))
        page = matching[start : start + limit] if limit else matching
        metadata = {"resourceVersion": str(self._version)}
        if limit and start + limit < len(matching):
            metadata["continue"] = str(start + limit)
        return web.json_response({"kind": "List", "metadata": metadata, "items": page})

    async def _one(self, request: web.Request, collection: str, name: str) -> web.Response:
        known = self.objects.setdefault(collection, {})
        body = await request.json() if request.method in {"POST", "PUT"} else {}
        name = name or body["metadata"]["name"]
        if request.method == "POST":
            if name in known:
                return web.json_response(status(409, f"{name} exists", "AlreadyExists"), status=409)
            return web.json_response(self.put(collection, body), status=201)
        if name not in known:
            return web.json_response(status(404, f'"{name}" not found', "NotFound"), status=404)
        if request.method == "PUT":
            is_met, self.conflicts = self.conflicts > 0, max(0, self.conflicts - 1)
            if is_met or body["metadata"].get("resourceVersion") != known[name]["metadata"]["resourceVersion"]:
                return web.json_response(status(409, "the object has been modified", "Conflict"), status=409)
            return web.json_response(self.put(collection, body))
        return web.json_response(known[name])

    async def _watch(self, request: web.Request, collection: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, TimeoutError):
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "60"))):
                await self._send_changes(request, response, collection)
        self._watches.discard(task)
        return response

    async def _send_changes(self, request: web.Request, response: web.StreamResponse, collection: str) -> None:
        seen = int(request.query["resourceVersion"])
        while True:
            if self.is_silent:
                await asyncio.Event().wait()
            if seen < self._oldest:
                gone = status(410, f"too old resource version: {seen} ({self._oldest})", "Expired")
                await response.write(_line("ERROR", gone))
                return
            news = self._news
            lines = []
            for change in self._history:
                if change.version > seen and change.collection == collection:
                    lines += _lines(change, request)
            seen = max(seen, self._version)
            if lines:
                await response.write(b"".join(lines))
            try:
                await asyncio.wait_for(news.wait(), self.bookmark_every_s)
            except TimeoutError:
                await response.write(_line("BOOKMARK", _bookmark(self._version)))


def _line(kind: str, one: Json) -> bytes:
    return json.dumps({"type": kind, "object": one}).encode() + b"\n"


def _bookmark(version: int) -> Json:
    """Return an object as Go writes one in which only the version is set."""
    return {"kind": "Pod", "metadata": {"resourceVersion": str(version), "creationTimestamp": None}, "status": {}}


def _lines(change: _Change, request: web.Request) -> list[bytes]:
    """Return what a watch says: an object that is not selected any more is deleted for it."""
    was, is_ = (one if one is not None and _matches(one, request) else None for one in (change.before, change.after))
    if is_ is not None:
        return [_line("ADDED" if was is None else "MODIFIED", is_)]
    return [] if was is None else [_line("DELETED", change.after or was)]


def _matches(one: Json, request: web.Request) -> bool:
    metadata = one["metadata"]
    wanted = dict(pair.split("=", 1) for pair in request.query.get("labelSelector", "").split(",") if pair)
    if not wanted.items() <= (metadata.get("labels") or {}).items():
        return False
    _, _, name = request.query.get("fieldSelector", "").partition("metadata.name=")
    return not name or metadata["name"] == name


@contextlib.asynccontextmanager
async def running_api(**more: Any) -> AsyncIterator[KubeApi]:
    """Run an API server while the context is open."""
    api = KubeApi(**more)
    await api.start()
    try:
        yield api
    finally:
        api.break_watches()
        await api.stop()


def pod(name: str, ip: str, *, labels: dict[str, str] | None = None, is_ready: bool = True, **metadata: Any) -> Json:
    """Return a pod."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels or {"app": "vllm"}, **metadata},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}]},
    }


def pool(name: str, *ports: int, labels: dict[str, str] | None = None) -> Json:
    """Return an InferencePool v1."""
    targets = [{"number": port} for port in ports or (8000,)]
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels or {"app": "vllm"}}, "targetPorts": targets},
    }
