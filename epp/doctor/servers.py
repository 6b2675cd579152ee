"""The model servers' pods: which the pool selects, which it nearly selects, and what of them is an endpoint."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from epp.doctor.objects import FullPod
from epp.doctor.pool import POOLS, Pool
from epp.doctor.reading import CORE, Reader, path_of
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import FORBIDDEN, KubeError
from epp.kube.objects import ACTIVE_PORTS, NEW_POOL_GROUP, POOL_VERSIONS, InferencePool, OldInferencePool
from epp.kube.pool import specs_of
from epp.plugin import EndpointSpec

SHOWN = 3
"""Endpoints that are listed."""


@dataclass(frozen=True, slots=True)
class Server:
    """An endpoint, and the pod that it is in."""

    pod: FullPod
    spec: EndpointSpec


@dataclass(frozen=True, slots=True)
class PoolPods:
    """The pods of the pool's namespace."""

    selected: Sequence[FullPod]
    others: Sequence[FullPod]


async def find_pods(reader: Reader, pool: Pool) -> Found[PoolPods]:
    """Return the pods that the pool selects; some have to be ready."""
    pods = await reader.many(path_of(CORE, pool.namespace, "pods"), FullPod)
    selected = [pod for pod in pods if _labels(pod).items() >= pool.shape.labels.items()]
    found = PoolPods(selected, [pod for pod in pods if pod not in selected])
    if not selected:
        message = f"no pod in namespace {pool.namespace} has the labels {pool.shape.selector}"
        advice = f"kubectl get pods -n {pool.namespace} --show-labels; then kubectl edit {pool.resource}"
        return Found(found, message, advice, Outcome.FAIL)
    waiting = [pod.metadata.name for pod in selected if not pod.is_serving]
    if not waiting:
        return Found(found, f"{len(selected)} of {len(selected)} ready")
    message = f"{len(selected) - len(waiting)} of {len(selected)} ready; not ready: {', '.join(waiting)}"
    advice = f"kubectl describe pod {waiting[0]} -n {pool.namespace}"
    outcome = Outcome.FAIL if len(waiting) == len(selected) else Outcome.WARN
    return Found(found, message, advice, outcome)


async def check_near_misses(reader: Reader, pool: Pool, pods: PoolPods, *, known: Collection[str]) -> Found[None]:
    """Tell of pods that look as if they should be in the pool; ``known`` are names of those that are something else.

    Pods of another pool of the namespace are where they should be.
    """
    selectors = await _other_selectors(reader, pool)
    near = [
        f"{pod.metadata.name} ({missed})"
        for pod in pods.others
        if pod.metadata.name not in known
        and not any(_labels(pod).items() >= selector.items() for selector in selectors)
        and (missed := _nearly(pool, pod))
    ]
    if not near:
        return Found(None, "no other pod looks like one of the pool")
    advice = (
        "if they serve the pool's model, set these labels in the template of their Deployment, or change the pool's "
        f"selector: kubectl edit {pool.resource}"
    )
    return Found(None, f"not selected, and nearly: {'; '.join(near)}", advice, Outcome.WARN)


async def _other_selectors(reader: Reader, pool: Pool) -> Sequence[Mapping[str, str]]:
    """Return the labels that the namespace's other pools select by; none where they may not be seen."""
    kind = InferencePool if pool.group == NEW_POOL_GROUP else OldInferencePool
    path = path_of(f"/apis/{pool.group}/{POOL_VERSIONS[pool.group]}", pool.namespace, POOLS)
    try:
        pools = await reader.many(path, kind)
    except KubeError as error:
        if error.status != FORBIDDEN:
            raise
        return []
    return [other.shape.labels for other in pools if other.metadata.name != pool.name]


def _nearly(pool: Pool, pod: FullPod) -> str:
    """Return what a pod lacks that has one of the labels, or of the ports; empty for one that is nothing like it."""
    wanted, labels = pool.shape.labels, _labels(pod)
    missed = {name: value for name, value in wanted.items() if labels.get(name) != value}
    if len(missed) == len(wanted) and not pod.spec.ports.keys() & set(pool.shape.ports):
        return ""
    return ", ".join(
        f"{name}={labels[name]} in place of {value}" if name in labels else f"no {name}={value}"
        for name, value in missed.items()
    )


async def find_endpoints(pool: Pool, pods: PoolPods) -> Found[Sequence[Server]]:
    """Return the endpoints of the pods that are ready; each pod should have one."""
    ready = [pod for pod in pods.selected if pod.is_serving]
    if not ready:
        raise SkippedError("no pod is ready, so there is no endpoint")
    servers = [Server(pod, spec) for pod in ready for spec in specs_of(pod, pool.shape.ports)]
    served = {server.pod.metadata.name for server in servers}
    without = [pod.metadata.name for pod in ready if pod.metadata.name not in served]
    if without:
        ports = ", ".join(map(str, pool.shape.ports))
        message = (
            f"ready, and no endpoint: {', '.join(without)}: no address, or none of the pool's ports ({ports}) active"
        )
        see = (
            f"the annotation {ACTIVE_PORTS[0]} says which serve: kubectl get pod {without[0]} -n {pool.namespace} "
            "-o jsonpath='{.metadata.annotations}'"
        )
        if not servers:
            raise FailedError(message, see)
        return Found(servers, message, see, Outcome.WARN)
    listed = ", ".join(f"{server.spec.address}:{server.spec.port}" for server in servers[:SHOWN])
    return Found(servers, f"{len(servers)}: {listed}{', ...' if len(servers) > SHOWN else ''}")


def over_http(pool: Pool, servers: Sequence[Server]) -> Sequence[Server]:
    """Return the endpoints whose pages can be had; raises `SkippedError` for those that speak gRPC only."""
    if pool.protocol != "http":
        raise SkippedError(f"the model servers speak gRPC: appProtocol of the pool is {pool.protocol}")
    return servers


def _labels(pod: FullPod) -> dict[str, str]:
    return pod.metadata.labels or {}
