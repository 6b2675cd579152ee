"""Questions to the API server: one object, all of a kind, a review."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from epp.kube.connection import NOT_FOUND, Api, KubeError
from epp.kube.objects import ObjectList, Resources
from epp.kube.reflector import PAGE_OBJECTS, decoded

CORE = "/api/v1"
APPS = "/apis/apps/v1"
GATEWAYS = "/apis/gateway.networking.k8s.io/v1"
ISTIO = "/apis/networking.istio.io/v1alpha3"

T = TypeVar("T")


def path_of(group: str, namespace: str, resource: str, name: str = "") -> str:
    """Return the path of a collection, or of an object in it; without a namespace that of the whole cluster."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{group}{within}/{resource}" + (f"/{name}" if name else "")


class Reader:
    """Reads objects; raises `KubeError` for whatever goes wrong, a silent server included."""

    def __init__(self, api: Api, *, timeout_s: float) -> None:
        self._api = api
        self.timeout_s = timeout_s

    async def content(
        self, path: str, *, method: str = "GET", params: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        """Return an answer as it is."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._api.request(method, path, params=params, body=body)
        except TimeoutError as error:
            raise KubeError(f"{method} {path}: no answer within {self.timeout_s:g} s") from error

    async def one(self, path: str, kind: type[T]) -> T:
        """Return an object."""
        return decoded(await self.content(path), kind, f"GET {path}")

    async def many(self, path: str, kind: type[T], *, selector: str = "") -> list[T]:
        """Return all objects, of these labels, of a collection."""
        params, found = {"limit": str(PAGE_OBJECTS)} | ({"labelSelector": selector} if selector else {}), list[T]()
        while True:
            page = decoded(await self.content(path, params=params), ObjectList, f"GET {path}")
            found += [decoded(raw, kind, f"GET {path}") for raw in page.items]
            if not page.metadata.continue_:
                return found
            params["continue"] = page.metadata.continue_

    async def post(self, path: str, question: object, kind: type[T]) -> T:
        """Return the answer to a review."""
        body = msgspec.json.encode(question)
        return decoded(await self.content(path, method="POST", body=body), kind, f"POST {path}")

    async def has(self, group: str, resource: str) -> bool:
        """Tell whether the server knows a resource, such as ``/apis/apps/v1`` and ``deployments``."""
        try:
            known = await self.one(group, Resources)
        except KubeError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return resource in known.names
