"""Whether the picker's pods answer, and take requests."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from epp.doctor.objects import FullPod, PodSpec
from epp.doctor.picker import Picker
from epp.doctor.reaching import PROXY_ADVICE, PodError, Reach, joined
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import FORBIDDEN, NOT_FOUND, KubeError
from epp.readiness import Need
from epp.settings import Settings

HEALTH_SERVICE = "inference-extension"
"""Follows readiness, in this picker and in the Go ones."""
HEALTH_PORT, METRICS_PORT = Settings().grpc_health_port, Settings().metrics_port
OK, UNAVAILABLE = 200, 503
NOT_YET = "not yet:"
"""How each line of ``/readyz`` begins that says what is in the way."""


def metrics_port(spec: PodSpec) -> int:
    """Return the port of the picker's pages."""
    return spec.port("metrics-port", METRICS_PORT)


async def check_health(reach: Reach, picker: Picker, *, timeout_s: float) -> Found[Sequence[FullPod]]:
    """Return the pods whose pages can be had; all that should be ready have to say so themselves."""
    pods = [pod for pod in picker.pods if pod.metadata.deletion_timestamp is None]
    if not pods:
        raise SkippedError("the picker has no pod")
    port = metrics_port(picker.spec)
    said = list(await asyncio.gather(*(_readiness(reach, pod, port) for pod in pods)))
    if all(answer.is_refused for answer in said):
        raise SkippedError(
            f"not allowed to ask the picker's pods: {said[0].problem}",
            PROXY_ADVICE,
        )
    reached = [answer.pod for answer in said if answer.status is not None]
    standby = [answer.pod for answer in said if answer.is_standby]
    if reach.is_direct:
        asked = [pod for pod in pods if pod not in standby]
        health_port = picker.spec.port("grpc-health-port", HEALTH_PORT)
        said += await asyncio.gather(*(_grpc_health(pod, health_port, timeout_s) for pod in asked))
    return _verdict(pods, reached, said)


def _verdict(
    pods: Sequence[FullPod], reached: Sequence[FullPod], said: Sequence["_Answer"]
) -> Found[Sequence[FullPod]]:
    problems = [one.problem for one in said if one.problem and not one.is_standby and one.status != NOT_FOUND]
    well = {one.pod.metadata.name for one in said if not one.problem}
    standby = [one.pod.metadata.name for one in said if one.is_standby]
    advice = f"kubectl logs {pods[0].metadata.name} -n {pods[0].metadata.namespace} says why"
    if not reached:
        raise FailedError("; ".join(problems), advice)
    if problems:
        return Found(reached, "; ".join(problems), advice, Outcome.WARN if well else Outcome.FAIL)
    if not well and standby:
        message = f"all wait to be the leader: {', '.join(standby)}"
        return Found(reached, message, "the Lease has a holder that is gone, or may not be updated", Outcome.FAIL)
    if not well:
        message = "the pods answer, and have no /readyz: this is another picker, or an older one"
        return Found(reached, message, "kubelet's probes say whether it is ready", Outcome.WARN)
    waiting = f"; kept warm, as not the leader: {', '.join(standby)}" if standby else ""
    return Found(reached, f"{len(well)} of {len(pods)} answer and are ready{waiting}")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a pod said."""

    pod: FullPod
    status: int | None
    """Of HTTP; ``None``: it said nothing."""
    problem: str = ""
    is_refused: bool = False
    """By the API server: nothing was asked."""

    @property
    def is_standby(self) -> bool:
        """Tell whether it waits to be the leader, and for nothing else."""
        return self.status == UNAVAILABLE and Need.LEADERSHIP in self.problem and self.problem.count(NOT_YET) == 1


async def _readiness(reach: Reach, pod: FullPod, port: int) -> _Answer:
    """Ask ``/readyz``."""
    try:
        await reach.page(pod, port, "/readyz")
    except KubeError as error:
        is_refused = error.status == FORBIDDEN and not isinstance(error, PodError)
        return _Answer(pod, error.status, f"{pod.metadata.name}: {error}", is_refused)
    return _Answer(pod, OK)


async def _grpc_health(pod: FullPod, port: int, timeout_s: float) -> _Answer:
    """Ask the same of gRPC health."""
    at = joined(pod.status.pod_ip, port)
    where = f"{pod.metadata.name}: gRPC health on {at}"
    async with grpc.aio.insecure_channel(at) as channel:
        try:
            answer = await HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=HEALTH_SERVICE), timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            # The Go pickers know other names where a leader is elected.
            status = NOT_FOUND if error.code() is grpc.StatusCode.NOT_FOUND else None
            return _Answer(pod, status, f"{where}: {error.code().name}: {error.details()}")
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return _Answer(pod, OK)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return _Answer(pod, UNAVAILABLE, f"{where} says {name}")
