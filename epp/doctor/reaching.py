"""Pages of pods: straight from their addresses inside of the cluster, else through the API server's proxy."""

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Protocol

import aiohttp

from epp.doctor.reading import CORE, Reader, path_of
from epp.kube.connection import FORBIDDEN, KubeError
from epp.kube.objects import Pod

MAX_ERROR_CHARACTERS = 200
OF_SERVER = " is forbidden: "
"""What an API server says that does not let us in; through its proxy a pod may say the same status."""
PROXY_ADVICE = (
    "it takes the right to get pods/proxy; or run `epp doctor` in a pod whose account may read the rest "
    "(docs/doctor.md)"
)


class PodError(KubeError):
    """A pod, and not the API server, said so."""


class Reach(Protocol):
    """A way to pods."""

    @property
    def is_direct(self) -> bool:
        """Tell whether it is also one for what is not HTTP."""
        ...

    async def page(self, pod: Pod, port: int, path: str, *, params: Mapping[str, str] | None = None) -> bytes:
        """Return a page; raises `KubeError` for everything but success."""
        ...


class Proxied:
    """Through ``pods/NAME:PORT/proxy``, which takes the right to get ``pods/proxy``."""

    is_direct = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, pod: Pod, port: int, path: str, *, params: Mapping[str, str] | None = None) -> bytes:
        """Return a page."""
        one = pod.metadata
        where = path_of(CORE, one.namespace, "pods", f"{one.name}:{port}") + f"/proxy{path}"
        try:
            return await self._reader.content(where, params=params)
        except KubeError as error:
            if error.status == FORBIDDEN and OF_SERVER not in str(error):
                raise PodError(str(error), status=error.status) from error
            raise


class Direct:
    """To the pod's address."""

    is_direct = True

    def __init__(self, http: aiohttp.ClientSession, *, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s

    async def page(self, pod: Pod, port: int, path: str, *, params: Mapping[str, str] | None = None) -> bytes:
        """Return a page."""
        url = f"http://{joined(pod.status.pod_ip, port)}{path}"
        try:
            async with asyncio.timeout(self._timeout_s), self._http.get(url, params=params) as response:
                content = await response.read()
        except TimeoutError as error:
            raise KubeError(f"GET {url}: no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise KubeError(f"GET {url}: {error}") from error
        if response.ok:
            return content
        said = shortened(content)
        raise PodError(f"GET {url}: {response.status}: {said}", status=response.status)


def joined(address: str, port: int) -> str:
    """Return ``address:port``, with brackets around an IPv6 address."""
    try:
        is_bracketed = ipaddress.ip_address(address).version == 6  # noqa: PLR2004 - that is the name
    except ValueError:
        is_bracketed = False
    return f"[{address}]:{port}" if is_bracketed else f"{address}:{port}"


def shortened(content: bytes) -> str:
    """Return the beginning of a body on one line."""
    text = " ".join(content.decode(errors="replace").split())
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]}..."
