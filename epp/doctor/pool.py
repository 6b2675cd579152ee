"""The InferencePool: whether it is there, and whether a gateway has taken it."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.doctor.objects import BackendRef, HTTPRoute, ParentStatus, PickerRef, PoolRest
from epp.doctor.reading import Reader, path_of
from epp.doctor.verdict import FailedError, Found, Outcome, is_about_ref
from epp.kube.connection import NOT_FOUND, KubeError
from epp.kube.objects import NEW_POOL_GROUP, POOL_VERSIONS, InferencePool, KubeObject, OldInferencePool, PoolShape
from epp.kube.reflector import decoded

POOLS = "inferencepools"
NOBODY_ADVICE = (
    "does an HTTPRoute name the pool, and does the gateway know InferencePools? In istiod that is switched on by "
    "ENABLE_GATEWAY_API_INFERENCE_EXTENSION=true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An InferencePool of whichever version."""

    group: str
    namespace: str
    name: str
    shape: PoolShape
    picker: PickerRef | None
    parents: Sequence[ParentStatus]
    protocol: str = "http"
    """What the model servers speak: ``kubernetes.io/h2c`` is gRPC."""

    @property
    def resource(self) -> str:
        """As ``kubectl`` takes it."""
        return f"{POOLS}.{self.group} {self.name} -n {self.namespace}"

    def is_backend(self, ref: BackendRef, route: HTTPRoute) -> bool:
        """Tell whether a reference of a route leads here."""
        return ref.leads_to(self.group, self.namespace, self.name, route_namespace=route.metadata.namespace)


async def find_pool(reader: Reader, *, group: str, namespace: str, name: str) -> Found[Pool]:
    """Return the pool; when it is not there, say what is."""
    versioned = f"/apis/{group}/{POOL_VERSIONS[group]}"
    path = path_of(versioned, namespace, POOLS, name)
    try:
        content = await reader.content(path)
    except KubeError as error:
        if error.status != NOT_FOUND:
            raise
        raise await _absent(reader, versioned, namespace, name) from error
    kind = InferencePool if group == NEW_POOL_GROUP else OldInferencePool
    shape = decoded(content, kind, f"GET {path}").shape
    rest = decoded(content, PoolRest, f"GET {path}")
    pool = Pool(
        group=group,
        namespace=namespace,
        name=name,
        shape=shape,
        picker=rest.picker_ref,
        parents=rest.parents,
        protocol=rest.spec.app_protocol,
    )
    ports = ", ".join(map(str, shape.ports))
    return Found(pool, f"{namespace}/{name}: pods {shape.selector}, {_plural('port', shape.ports)} {ports}")


def _plural(word: str, them: Sequence[object]) -> str:
    return word if len(them) == 1 else f"{word}s"


async def _absent(reader: Reader, versioned: str, namespace: str, name: str) -> FailedError:
    if not await reader.has(versioned, POOLS):
        group = versioned.split("/")[2]
        for other, version in POOL_VERSIONS.items():
            if other != group and await reader.has(f"/apis/{other}/{version}", POOLS):
                return FailedError(
                    f"the cluster has no InferencePools of {group}, and has those of {other}",
                    f"say --pool-group {other}, here and to the picker, or install the CRDs of {group}",
                )
        return FailedError(
            "the cluster does not know InferencePools: their CRDs are not installed",
            "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api-inference-extension"
            "/releases/latest/download/manifests.yaml",
        )
    try:
        there = [f"{one.metadata.namespace}/{one.metadata.name}" for one in await _pools(reader, versioned, namespace)]
    except KubeError:
        there = []
    known = f"; there are: {', '.join(sorted(there))}" if there else "; there is none at all"
    return FailedError(
        f"there is no InferencePool {namespace}/{name}{known}",
        "check --pool-name and --pool-namespace, here and among the picker's flags: "
        f"kubectl get {POOLS} --all-namespaces",
    )


async def _pools(reader: Reader, versioned: str, namespace: str) -> Sequence[KubeObject]:
    """Return those of the cluster, or of the namespace where no more may be seen."""
    try:
        return await reader.many(path_of(versioned, "", POOLS), KubeObject)
    except KubeError:
        return await reader.many(path_of(versioned, namespace, POOLS), KubeObject)


async def check_accepted(pool: Pool) -> Found[None]:
    """Tell whether the gateways that know the pool take it."""
    if not pool.parents:
        raise FailedError(f"no gateway has taken {pool.namespace}/{pool.name}: its status names none", NOBODY_ADVICE)
    problems, unsure = list[str](), list[str]()
    for parent in pool.parents:
        for kind in ("Accepted", "ResolvedRefs"):
            condition = parent.condition(kind)
            where = f"Gateway {parent.parent_ref.name} says {kind}"
            if condition is not None and condition.status == "False":
                problems.append(f"{where}=False: {condition.reason}: {condition.message}")
            elif condition is None or condition.status != "True":
                unsure.append(f"{where}={'Unknown' if condition is None else condition.status}")
    see = f"kubectl get {pool.resource} -o jsonpath='{{.status}}'"
    if problems:
        advice = (
            "the endpointPickerRef has to name a Service of the pool's namespace" if is_about_ref(problems) else "see"
        )
        raise FailedError("; ".join(problems), f"{advice}: {see}")
    if unsure:
        return Found(None, "; ".join(unsure), f"its controller may be away, or new to it: {see}", Outcome.WARN)
    return Found(None, f"by {', '.join(f'Gateway {parent.parent_ref.name}' for parent in pool.parents)}")
