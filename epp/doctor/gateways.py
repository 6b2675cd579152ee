"""The Gateways that the routes attach to: there, programmed, with pods."""

from collections.abc import Sequence

from epp.doctor.objects import Gateway, HTTPRoute, place
from epp.doctor.reading import CORE, GATEWAYS, Reader, path_of
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import NOT_FOUND, KubeError
from epp.kube.objects import Pod

GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"


async def find_gateways(reader: Reader, routes: Sequence[HTTPRoute], *, name: str | None) -> Found[Sequence[Gateway]]:
    """Return the Gateways that are there, of this name where one is given."""
    wanted = dict.fromkeys(ref for route in routes for ref in route.gateways if name in (None, ref[1]))
    if not wanted:
        raise FailedError(
            f"{place(routes[0])} attaches to no Gateway",
            f"name one in its parentRefs: kubectl edit httproute {routes[0].metadata.name} "
            f"-n {routes[0].metadata.namespace}",
        )
    found, problems = list[Gateway](), list[str]()
    for namespace, one in wanted:
        try:
            gateway = await reader.one(path_of(GATEWAYS, namespace, "gateways", one), Gateway)
        except KubeError as error:
            if error.status != NOT_FOUND:
                raise
            problems.append(f"{namespace}/{one} does not exist")
            continue
        found.append(gateway)
        problems += _problems(gateway)
    first = next(iter(wanted))
    advice = f"kubectl describe gateway {first[1]} -n {first[0]}"
    if not found:
        raise FailedError("; ".join(problems), f"kubectl get gateways --all-namespaces; then {advice}")
    if problems:
        return Found(found, "; ".join(problems), advice, Outcome.FAIL)
    return Found(found, ", ".join(f"{place(one)} ({one.spec.gateway_class_name})" for one in found))


def _problems(gateway: Gateway) -> Sequence[str]:
    conditions = {one.type: one for one in gateway.status.conditions or ()}
    problems = list[str]()
    for kind in ("Accepted", "Programmed"):
        one = conditions.get(kind)
        if one is None:
            problems.append(f"{place(gateway)} says nothing of {kind}: no controller has taken it")
        elif one.status != "True":
            problems.append(f"{place(gateway)} says {kind}={one.status}: {one.reason}: {one.message}")
    return problems


async def check_pods(reader: Reader, gateways: Sequence[Gateway]) -> Found[None]:
    """Tell whether each Gateway has a pod that is ready, if it has pods."""
    said, problems = list[str](), list[str]()
    for gateway in gateways:
        one = gateway.metadata
        path = path_of(CORE, one.namespace, "pods")
        pods = await reader.many(path, Pod, selector=f"{GATEWAY_LABEL}={one.name}")
        ready = sum(pod.is_serving for pod in pods)
        if pods:
            said.append(f"{place(gateway)}: {ready} of {len(pods)} ready")
            if not ready:
                problems.append(pods[0].metadata.name)
    if not said:
        message = f"no pod has the label {GATEWAY_LABEL}: the gateway is made otherwise, or outside of the cluster"
        raise SkippedError(message)
    if problems:
        namespace = gateways[0].metadata.namespace
        raise FailedError("; ".join(said), f"kubectl describe pod {problems[0]} -n {namespace}")
    return Found(None, "; ".join(said))
