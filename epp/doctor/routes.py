"""HTTPRoutes that lead to the pool."""

from collections.abc import Sequence

from epp.doctor.objects import HTTPRoute, place
from epp.doctor.pool import Pool
from epp.doctor.reading import GATEWAYS, Reader, path_of
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError, is_about_ref
from epp.kube.connection import FORBIDDEN, NOT_FOUND, KubeError

ROUTES = "httproutes"


async def find_routes(
    reader: Reader, pool: Pool, *, gateway: str | None, has_url: bool = False
) -> Found[Sequence[HTTPRoute]]:
    """Return the routes of the whole cluster that lead to the pool; of one Gateway, where it is named.

    With a URL there need be none: raises `SkippedError`.
    """
    try:
        return _leading(await _read(reader, pool.namespace), pool, gateway)
    except FailedError as error:
        if not has_url or gateway is not None:
            raise
        raise SkippedError(f"{error}; none is needed for an Envoy at --url that is configured otherwise") from error


def _leading(routes: Sequence[HTTPRoute], pool: Pool, gateway: str | None) -> Found[Sequence[HTTPRoute]]:
    leading = [route for route in routes if _leads(route, pool)]
    if gateway is not None:
        elsewhere = leading
        leading = [route for route in leading if any(name == gateway for _, name in route.gateways)]
        if elsewhere and not leading:
            raise FailedError(
                f"no HTTPRoute of Gateway {gateway} leads to {pool.namespace}/{pool.name}; "
                f"others do: {', '.join(map(place, elsewhere))}",
                f"name the Gateway in a route's parentRefs: kubectl edit httproute {elsewhere[0].metadata.name} "
                f"-n {elsewhere[0].metadata.namespace}",
            )
    if not leading:
        return _nearly(routes, pool)
    return Found(leading, ", ".join(map(place, leading)))


async def _read(reader: Reader, namespace: str) -> Sequence[HTTPRoute]:
    """Return all routes, or those of the namespace where no more may be seen."""
    try:
        return await reader.many(path_of(GATEWAYS, "", ROUTES), HTTPRoute)
    except KubeError as error:
        if error.status == FORBIDDEN:
            return await reader.many(path_of(GATEWAYS, namespace, ROUTES), HTTPRoute)
        if error.status != NOT_FOUND:
            raise
        raise FailedError(
            "the cluster does not know HTTPRoutes: the CRDs of the Gateway API are not installed",
            "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api/releases/latest/download/"
            "standard-install.yaml; a picker beside a plain Envoy needs none: say --url",
        ) from error


def _leads(route: HTTPRoute, pool: Pool) -> bool:
    return any(pool.is_backend(ref, route) for ref in route.backends)


def _nearly(routes: Sequence[HTTPRoute], pool: Pool) -> Found[Sequence[HTTPRoute]]:
    """Return a route that leads nearly there: a reference without group and kind is one to a Service."""
    for route in routes:
        for ref in route.backends:
            if ref.name == pool.name or (pool.picker is not None and ref.name == pool.picker.name):
                kind, group = ref.kind or "Service", ref.group or "core"
                return Found(
                    [route],
                    f"no HTTPRoute leads to {pool.namespace}/{pool.name}; {place(route)} leads to {kind} {ref.name} "
                    f"(group {group}) in {ref.namespace or route.metadata.namespace}",
                    f"its backendRef has to say kind: InferencePool, group: {pool.group}, name: {pool.name}: kubectl "
                    f"edit httproute {route.metadata.name} -n {route.metadata.namespace}",
                    Outcome.FAIL,
                )
    raise FailedError(
        f"no HTTPRoute leads to {pool.namespace}/{pool.name}",
        f"make one with a backendRef of kind: InferencePool, group: {pool.group}, name: {pool.name}",
    )


async def check_accepted(routes: Sequence[HTTPRoute]) -> Found[None]:
    """Tell whether every Gateway that a route attaches to has taken it."""
    problems, unsure = list[str](), list[str]()
    for route in routes:
        parents = route.status.parents or ()
        told = {(one.parent_ref.namespace or route.metadata.namespace, one.parent_ref.name) for one in parents}
        for namespace, name in dict.fromkeys(route.gateways):
            if (namespace, name) not in told:
                problems.append(f"{place(route)}: Gateway {namespace}/{name} says nothing of it")
        for parent in parents:
            for kind in ("Accepted", "ResolvedRefs"):
                condition = parent.condition(kind)
                where = f"{place(route)}: Gateway {parent.parent_ref.name} says {kind}"
                if condition is None or condition.status not in ("True", "False"):
                    unsure.append(f"{where}={condition.status if condition else 'Unknown'}")
                elif condition.status == "False":
                    problems.append(f"{where}=False: {condition.reason}: {condition.message}")
    one = routes[0].metadata
    advice = f"kubectl describe httproute {one.name} -n {one.namespace}"
    if problems:
        hint = "; a gateway that does not know InferencePools says ResolvedRefs=False" if is_about_ref(problems) else ""
        raise FailedError("; ".join(problems), f"{advice}{hint}")
    if unsure:
        return Found(None, "; ".join(unsure), advice, Outcome.WARN)
    return Found(None, f"{len(routes)} of {len(routes)} accepted, and their references resolved")
