"""gRPC health as gateways and kubelets ask for it."""

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from epp.extproc.grpc_server import SERVICE

LIVENESS = "liveness"
READINESS_SERVICES = ("", "readiness", "inference-extension", SERVICE)
"""Names that follow readiness; they are those that charts and gateways written for the Go pickers ask for."""


class Health:
    """What the health service says: liveness as long as the process can answer, readiness as told."""

    def __init__(self) -> None:
        self._servicer = HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register ``grpc.health.v1.Health``."""
        add_HealthServicer_to_server(self._servicer, server)

    async def set_ready(self, ready: bool) -> None:  # noqa: FBT001 - all that there is to say
        """Tell all who ask or watch whether requests should come here."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        for service in READINESS_SERVICES:
            await self._servicer.set(service, status)
