"""The picker that the pool names: its Service, and the pods behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.doctor.objects import Deployment, FullPod, PickerRef, PodSpec, Service, ServicePort, place
from epp.doctor.pool import Pool
from epp.doctor.reading import APPS, CORE, Reader, path_of
from epp.doctor.verdict import FailedError, Found, Outcome
from epp.kube.connection import NOT_FOUND, KubeError


@dataclass(frozen=True, slots=True)
class PickerService:
    """The Service, and its port that the pool names."""

    service: Service
    port: ServicePort

    @property
    def selector(self) -> str:
        """As a list takes it."""
        return ",".join(f"{name}={value}" for name, value in sorted((self.service.spec.selector or {}).items()))


@dataclass(frozen=True, slots=True)
class Picker:
    """How the picker is started, and its pods; there may be none."""

    spec: PodSpec
    pods: Sequence[FullPod]


async def find_service(reader: Reader, pool: Pool) -> Found[PickerService]:
    """Return the Service of the pool's ``endpointPickerRef``."""
    ref = pool.picker
    if ref is None:
        raise FailedError(
            f"{pool.namespace}/{pool.name} names no picker: it has no endpointPickerRef",
            f"name the picker's Service there: kubectl edit {pool.resource}",
        )
    if ref.kind != "Service":
        raise FailedError(f"the endpointPickerRef is a {ref.kind}, not a Service", f"kubectl edit {pool.resource}")
    try:
        service = await reader.one(path_of(CORE, pool.namespace, "services", ref.name), Service)
    except KubeError as error:
        if error.status != NOT_FOUND:
            raise
        message = f"there is no Service {pool.namespace}/{ref.name}, which the endpointPickerRef names"
        advice = f"kubectl get services -n {pool.namespace}; then kubectl edit {pool.resource}"
        raise FailedError(message, advice) from error
    if service.spec.type == "ExternalName":
        raise FailedError(
            f"Service {pool.namespace}/{ref.name} is an ExternalName, which gateways do not take for a picker",
            "make it a Service with a selector",
        )
    return Found(PickerService(service, _port(pool, ref, service)), f"{place(service)}, port {ref.number}")


def _port(pool: Pool, ref: PickerRef, service: Service) -> ServicePort:
    for port in service.spec.ports or ():
        if port.port == ref.number:
            return port
    has = ", ".join(str(port.port) for port in service.spec.ports or ()) or "none"
    raise FailedError(
        f"the pool names port {ref.number} of Service {pool.namespace}/{ref.name}, which has: {has}",
        f"endpointPickerRef.port.number is the Service's port, not the pods': kubectl edit {pool.resource}",
    )


async def find_pods(reader: Reader, service: PickerService) -> Found[Picker]:
    """Return the pods behind the Service; at least one has to be ready."""
    one = service.service.metadata
    if not service.selector:
        raise FailedError(
            f"Service {place(service.service)} selects no pods: it has no selector",
            f"kubectl edit service {one.name} -n {one.namespace}",
        )
    pods = await reader.many(path_of(CORE, one.namespace, "pods"), FullPod, selector=service.selector)
    if not pods:
        return await _deployed(reader, service)
    ready = [pod for pod in pods if pod.is_serving]
    picker = Picker((ready or pods)[0].spec, pods)
    if not ready:
        names = ", ".join(pod.metadata.name for pod in pods)
        advice = f"kubectl describe pod {pods[0].metadata.name} -n {one.namespace}; kubectl logs says more"
        return Found(picker, f"none of {len(pods)} is ready: {names}", advice, Outcome.FAIL)
    names = ", ".join(pod.metadata.name for pod in ready)
    return Found(picker, f"{len(ready)} of {len(pods)} ready: {names}")


async def _deployed(reader: Reader, service: PickerService) -> Found[Picker]:
    """Return the Deployment that should have made the pods."""
    one, selector = service.service.metadata, (service.service.spec.selector or {}).items()
    for deployment in await reader.many(path_of(APPS, one.namespace, "deployments"), Deployment):
        template = deployment.spec.template
        if selector <= (template.metadata.labels or {}).items():
            name, replicas = deployment.metadata.name, deployment.spec.replicas
            wanted = "one" if replicas is None else str(replicas)
            advice = f"kubectl describe deployment {name} -n {one.namespace}"
            if replicas == 0:
                advice = f"kubectl scale deployment {name} -n {one.namespace} --replicas=1"
            message = f"Deployment {place(deployment)} wants {wanted} and has no pod"
            return Found(Picker(template.spec, []), message, advice, Outcome.FAIL)
    raise FailedError(
        f"no pod and no Deployment has the labels that Service {place(service.service)} selects: {service.selector}",
        f"kubectl get pods -n {one.namespace} --show-labels; then mend the Service's selector",
    )
