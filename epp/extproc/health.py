"""gRPC health as gateways and kubelets ask for it, whatever the transport."""

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from epp.extproc.rpc import OK, SERVICE, Call, Code, Methods, Status, StreamLostError
from epp.strand import in_task

HEALTH_SERVICE = "grpc.health.v1.Health"
LIVENESS = "liveness"
READINESS_SERVICES = ("", "readiness", "inference-extension", SERVICE)
"""Names that follow readiness; they are those that charts and gateways written for the Go pickers ask for."""


class Serving(enum.IntEnum):
    """``grpc.health.v1.HealthCheckResponse.ServingStatus``."""

    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """What the health service says: liveness as long as the process can answer, readiness as told."""

    def __init__(self) -> None:
        self._is_ready = False
        self._news = asyncio.Event()

    def set_ready(self, *, ready: bool) -> None:
        """Tell all who ask or watch whether requests should come here."""
        self._is_ready = ready
        self._news.set()
        self._news = asyncio.Event()

    def status(self, service: str) -> Serving:
        """Return what is said of a service."""
        if service == LIVENESS:
            return Serving.SERVING
        if service not in READINESS_SERVICES:
            return Serving.SERVICE_UNKNOWN
        return Serving.SERVING if self._is_ready else Serving.NOT_SERVING

    async def changes(self, service: str) -> AsyncIterator[Serving]:
        """Yield what is said of a service, now and whenever it is something else."""
        last = None
        while True:
            news, status = self._news, self.status(service)
            if status != last:
                last = status
                yield status
            await news.wait()

    @property
    def methods(self) -> Methods:
        """What it serves."""
        return {f"/{HEALTH_SERVICE}/Check": self._check, f"/{HEALTH_SERVICE}/Watch": self._watch}

    async def _check(self, call: Call) -> Status:
        service = await _service_asked_for(call)
        status = self.status(service)
        if status is Serving.SERVICE_UNKNOWN:
            return Status(Code.NOT_FOUND, f"there is no service `{service}`")
        await call.write([_answer(status)])
        return OK

    async def _watch(self, call: Call) -> Status:
        service = await _service_asked_for(call)
        await in_task()
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell(call, service))
            gone = group.create_task(_gone(call))
            await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            gone.cancel()
        return OK

    async def _tell(self, call: Call, service: str) -> None:
        with contextlib.suppress(StreamLostError):
            async for status in self.changes(service):
                await call.write([_answer(status)])


async def _gone(call: Call) -> None:
    await call.lost()


async def _service_asked_for(call: Call) -> str:
    try:
        return str(HealthCheckRequest.FromString(await call.read() or b"").service)
    except DecodeError:
        return "?"


def _answer(status: Serving) -> bytes:
    content: bytes = HealthCheckResponse(status=int(status)).SerializeToString()
    return content
