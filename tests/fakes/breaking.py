"""Ways to break a cluster that ``epp doctor`` examines, and the row that should tell of it."""

from collections.abc import Callable

from epp.doctor import Question, examine
from epp.doctor.verdict import Row
from epp.kube.objects import NEW_POOL_GROUP
from tests.fakes.doctor_cluster import GATEWAYS, DoctorCluster
from tests.fakes.kube_api import CORE, POOLS, Json

SERVICES, PODS, POOL = f"{CORE}/services", f"{CORE}/pods", f"{POOLS}/inferencepools"
ROUTES, GATES = f"{GATEWAYS}/httproutes", f"{GATEWAYS}/gateways"
DEPLOYMENTS = "/apis/apps/v1/deployments"
KUBECTL_POOL = "inferencepools.inference.networking.k8s.io llama -n models"
Break = Callable[[DoctorCluster], object]


async def row_of(check: str, **more: object) -> Row:
    """Examine, and return one row."""
    question = Question(**{"pool_name": "llama", "pool_group": NEW_POOL_GROUP, "timeout_s": 5.0, **more})  # type: ignore[arg-type]
    (row,) = [row for row in (await examine(question)).rows if row.check == check]
    return row


def refuse(path: str, code: int, message: str = "no") -> Break:
    return lambda cluster: cluster.api.refusals.update({path: (code, message)})


def pool_spec(**fields: object) -> Break:
    return lambda cluster: cluster.change(POOL, "llama")["spec"].update(fields)


def pool_says(*problems: Json) -> Break:
    def change(cluster: DoctorCluster) -> None:
        cluster.change(POOL, "llama")["status"]["parents"][0]["conditions"] = list(problems)

    return change


def service_port(**fields: object) -> Break:
    return lambda cluster: cluster.change(SERVICES, "llama-epp")["spec"]["ports"][0].update(fields)


def picker_args(*args: str) -> Break:
    return lambda cluster: cluster.change(PODS, "llama-epp-0")["spec"]["containers"][0]["args"].extend(args)


def without(collection: str, *names: str) -> Break:
    return lambda cluster: [cluster.api.objects[collection].pop(name) for name in names]


def not_ready(*names: str) -> Break:
    def change(cluster: DoctorCluster) -> None:
        for name in names:
            cluster.change(PODS, name)["status"]["conditions"][0]["status"] = "False"

    return change


def labelled(**pods: dict[str, str]) -> Break:
    def change(cluster: DoctorCluster) -> None:
        for name, labels in pods.items():
            cluster.change(PODS, name.replace("_", "-"))["metadata"]["labels"] = labels

    return change


def deployment(replicas: int) -> Break:
    def change(cluster: DoctorCluster) -> None:
        without(PODS, "llama-epp-0")(cluster)
        template = {"metadata": {"labels": {"app": "llama-epp"}}, "spec": {"serviceAccountName": "llama-epp"}}
        one = {"metadata": {"name": "llama-epp"}, "spec": {"replicas": replicas, "template": template}}
        cluster.api.put(DEPLOYMENTS, one)

    return change


def patch(field: str, value: str) -> str:
    """Return the command that sets a field of the picker's port."""
    operation = f'[{{"op": "add", "path": "/spec/ports/0/{field}", "value": {value}}}]'
    return f"kubectl patch service llama-epp -n models --type=json -p '{operation}'"
