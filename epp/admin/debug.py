"""What the picker knows and has decided, as JSON: for a person who asks why."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiohttp import web

from epp.director.decisions import DecisionLog, NotedDecision
from epp.plugin import Endpoint
from epp.scheduling.explain import explanation

DEFAULT_LIMIT, MAX_LIMIT = 20, 1000


class Debug:
    """Answers ``/debug/decisions`` and ``/debug/endpoints``. There is no text of prompts in them."""

    def __init__(self, decisions: DecisionLog, pool: Callable[[], Sequence[Endpoint]]) -> None:
        self._decisions = decisions
        self._pool = pool

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/debug/decisions", self._list_decisions)
        application.router.add_get("/debug/endpoints", self._list_endpoints)

    async def _list_decisions(self, request: web.Request) -> web.Response:
        """The last ``limit`` decisions, or all that are kept of a ``request_id``."""
        request_id = request.query.get("request_id")
        if request_id is not None:
            found = self._decisions.of(request_id)
            if not found:
                return _json({"error": f"no decision is kept of request `{request_id}`"}, status=404)
            return _json([_document(noted) for noted in found])
        limit = request.query.get("limit", str(DEFAULT_LIMIT))
        if not limit.isdecimal() or len(limit) > len(str(MAX_LIMIT)) or not 1 <= int(limit) <= MAX_LIMIT:
            return _json({"error": f"limit must be a number from 1 to {MAX_LIMIT}"}, status=400)
        return _json([_document(noted) for noted, _ in zip(self._decisions, range(int(limit)), strict=False)])

    async def _list_endpoints(self, _request: web.Request) -> web.Response:
        """The pool as it is now, as ``epp explain --snapshot`` reads it."""
        return _json([endpoint_document(endpoint) for endpoint in self._pool()])


def endpoint_document(endpoint: Endpoint) -> Mapping[str, object]:
    """Return who an endpoint is, and what is known of it."""
    spec = endpoint.spec
    return {
        "name": spec.name,
        "namespace": spec.namespace,
        "address": spec.address,
        "port": spec.port,
        "labels": dict(spec.labels),
        "ready": endpoint.ready,
        "load": _load_document(endpoint),
        "in_flight": msgspec.to_builtins(endpoint.in_flight),
    }


def _load_document(endpoint: Endpoint) -> Mapping[str, object]:
    """Return the load, without what is not known."""
    load = endpoint.load
    numbers = {
        name: getattr(load, name)
        for name in ("waiting", "running", "kv_cache_ratio", "block_size_tokens", "block_count")
        if getattr(load, name) is not None
    }
    if load.adapters is not None:
        numbers["adapters"] = {
            "running": sorted(load.adapters.running),
            "waiting": sorted(load.adapters.waiting),
            "max_loaded": load.adapters.max_loaded,
        }
    return numbers | ({"custom": dict(load.custom)} if load.custom else {})


def _document(noted: NotedDecision) -> Mapping[str, object]:
    return {
        "request_id": noted.request_id,
        "at": noted.at.isoformat(timespec="milliseconds"),
        "path": noted.path,
        "model": noted.model,
        "endpoints": [endpoint.key for endpoint in noted.decision.endpoints],
        "profiles": [explanation(result) for result in noted.decision.results.values()],
    }


def _json(document: object, *, status: int = 200) -> web.Response:
    body = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")
