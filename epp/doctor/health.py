"""Whether the picker's pods answer, and take requests."""

import asyncio
from collections.abc import Sequence

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from epp.doctor.objects import FullPod, PodSpec
from epp.doctor.picker import Picker
from epp.doctor.reaching import Reach, joined
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import FORBIDDEN, NOT_FOUND, KubeError

HEALTH_SERVICE = "inference-extension"
"""Follows readiness, in this picker and in the Go ones."""
HEALTH_PORT = 9003
METRICS_PORT = 9090


def metrics_port(spec: PodSpec) -> int:
    """Return the port of the picker's pages."""
    return spec.port("metrics-port", METRICS_PORT)


async def check_health(reach: Reach, picker: Picker, *, timeout_s: float) -> Found[Sequence[FullPod]]:
    """Return the pods whose pages can be had; all that are ready have to say so themselves."""
    pods = [pod for pod in picker.pods if pod.metadata.deletion_timestamp is None]
    if not pods:
        raise SkippedError("the picker has no pod")
    port = metrics_port(picker.spec)
    said = await asyncio.gather(*(_readiness(reach, pod, port) for pod in pods))
    reached = [pod for pod, (status, _) in zip(pods, said, strict=True) if status is not None]
    if all(status == FORBIDDEN for status, _ in said):
        raise SkippedError(
            f"not allowed to ask the picker's pods: {said[0][1]}",
            "it takes the right to get pods/proxy; or run `epp doctor` in a pod",
        )
    if reach.is_direct:
        health_port = picker.spec.port("grpc-health-port", HEALTH_PORT)
        said = [*said, *await asyncio.gather(*(_grpc_health(pod, health_port, timeout_s) for pod in pods))]
    return _verdict(pods, reached, said)


def _verdict(
    pods: Sequence[FullPod], reached: Sequence[FullPod], said: Sequence[tuple[int | None, str]]
) -> Found[Sequence[FullPod]]:
    problems = [text for status, text in said if text and status != NOT_FOUND]
    one = pods[0].metadata
    advice = f"kubectl logs {one.name} -n {one.namespace} says why"
    is_any_well = any(not text for _, text in said)
    if not reached:
        raise FailedError("; ".join(problems), advice)
    if problems:
        return Found(reached, "; ".join(problems), advice, Outcome.WARN if is_any_well else Outcome.FAIL)
    if not is_any_well:
        message = "the pods answer, and have no /readyz: this is another picker, or an older one"
        return Found(reached, message, "kubelet's probes say whether it is ready", Outcome.WARN)
    return Found(reached, f"{len(reached)} of {len(pods)} answer and are ready")


async def _readiness(reach: Reach, pod: FullPod, port: int) -> tuple[int | None, str]:
    """Return the status of ``/readyz``, none where there was no answer, and what is wrong."""
    try:
        await reach.page(pod, port, "/readyz")
    except KubeError as error:
        return error.status, f"{pod.metadata.name}: {error}"
    return 200, ""


async def _grpc_health(pod: FullPod, port: int, timeout_s: float) -> tuple[int | None, str]:
    """Return the same of gRPC health."""
    at = joined(pod.status.pod_ip, port)
    async with grpc.aio.insecure_channel(at) as channel:
        try:
            answer = await HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=HEALTH_SERVICE), timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            return None, f"{pod.metadata.name}: gRPC health on {at}: {error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return 200, ""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return 503, f"{pod.metadata.name}: gRPC health on {at} says {name}"
