"""What ``epp doctor`` says of model servers, routes and gateways that are not as they should be, and of the request."""

import pytest

from epp.doctor.verdict import Outcome, Row
from tests.fakes.breaking import (
    GATES,
    KUBECTL_POOL,
    PODS,
    POOL,
    ROUTES,
    Break,
    labelled,
    not_ready,
    refuse,
    row_of,
    without,
)
from tests.fakes.doctor_cluster import ISTIO, MODEL, PAGE, DoctorCluster, conditions
from tests.fakes.kube_api import CORE, pool

ENDPOINTS_PATH = f"{CORE}/namespaces/models/pods/vllm-0:8000/proxy"
RELABEL = (
    "if they serve the pool's model, set these labels in the template of their Deployment, or change the pool's "
    f"selector: kubectl edit {KUBECTL_POOL}"
)
FORBIDDEN = "pods is forbidden: no"
ENGINE = (
    "the engine's metrics have to be on (vLLM: no --disable-log-stats); for other names set engineConfigs of "
    "core-metrics-extractor"
)
FILTER = {"metadata": {"name": "body-mode"}, "spec": {"configPatches": [{"name": "envoy.filters.http.ext_proc"}]}}


def both(*changes: Break) -> Break:
    return lambda cluster: [change(cluster) for change in changes]


def both_labelled(cluster: DoctorCluster) -> None:
    labelled(vllm_0={"app": "vlm"}, vllm_1={"app": "vllm-old"})(cluster)


def active_ports(ports: str, *names: str) -> Break:
    def change(cluster: DoctorCluster) -> None:
        for name in names:
            annotations = {"inference.networking.k8s.io/active-ports": ports}
            cluster.change(PODS, name)["metadata"]["annotations"] = annotations

    return change


def page(text: str) -> Break:
    return lambda cluster: setattr(cluster.servers[0], "page", text)


def models(*names: str) -> Break:
    return lambda cluster: setattr(cluster.servers[0], "models", names)


def backend(**fields: str | None) -> Break:
    return lambda cluster: cluster.change(ROUTES, "llama-route")["spec"]["rules"][0]["backendRefs"][0].update(fields)


def route_says(parents: object) -> Break:
    return lambda cluster: cluster.change(ROUTES, "llama-route")["status"].update(parents=parents)


def gateway(**status: object) -> Break:
    return lambda cluster: cluster.change(GATES, "inference-gateway")["status"].update(status)


SERVER_CASES = [
    pytest.param(
        both_labelled,
        *("model servers", Outcome.FAIL, "no pod in namespace models has the labels app=vllm"),
        f"kubectl get pods -n models --show-labels; then kubectl edit {KUBECTL_POOL}",
        id="no pod",
    ),
    pytest.param(
        both_labelled,
        *("similar pods", Outcome.WARN),
        "not selected, and nearly: vllm-0 (app=vlm in place of vllm); vllm-1 (app=vllm-old in place of vllm)",
        RELABEL,
        id="nearly",
    ),
    pytest.param(
        both(
            labelled(vllm_1={"app": "vllm-old"}),
            lambda cluster: cluster.api.put(POOL, pool("old", labels={"app": "vllm-old"})),
        ),
        *("similar pods", Outcome.PASS, "no other pod looks like one of the pool", ""),
        id="of another pool",
    ),
    pytest.param(
        both(both_labelled, refuse("/namespaces/models/inferencepools", 403)),
        *("similar pods", Outcome.WARN),
        "not selected, and nearly: vllm-0 (app=vlm in place of vllm); vllm-1 (app=vllm-old in place of vllm)",
        RELABEL,
        id="nearly, and other pools may not be seen",
    ),
    pytest.param(
        not_ready("vllm-0", "vllm-1"),
        *("model servers", Outcome.FAIL, "0 of 2 ready; not ready: vllm-0, vllm-1"),
        "kubectl describe pod vllm-0 -n models",
        id="none ready",
    ),
    pytest.param(
        not_ready("vllm-1"),
        *("model servers", Outcome.WARN, "1 of 2 ready; not ready: vllm-1"),
        "kubectl describe pod vllm-1 -n models",
        id="one ready",
    ),
    pytest.param(
        active_ports("9000", "vllm-0", "vllm-1"),
        *("endpoints", Outcome.FAIL),
        "ready, and no endpoint: vllm-0, vllm-1: no address, or none of the pool's ports (8000) active",
        "the annotation llm-d.ai/active-ports says which serve: kubectl get pod vllm-0 -n models "
        "-o jsonpath='{.metadata.annotations}'",
        id="inactive",
    ),
    pytest.param(
        page(PAGE.replace("kv_cache_usage_perc", "cache_perc")),
        *("metrics", Outcome.FAIL),
        "/metrics of 1 of 2 endpoints lacks what scorers want: vllm-0-rank-0: without vllm:kv_cache_usage_perc",
        ENGINE,
        id="metric missing",
    ),
    pytest.param(
        page("process_start_time_seconds 1\n"),
        *("metrics", Outcome.FAIL),
        "/metrics of 1 of 2 endpoints lacks what scorers want: vllm-0-rank-0: no metric of an engine that is known",
        ENGINE,
        id="no engine",
    ),
    pytest.param(
        lambda cluster: cluster.api.backends.pop("vllm-0:8000"),
        *("metrics", Outcome.FAIL),
        f"/metrics of 1 of 2 endpoints lacks what scorers want: vllm-0-rank-0: GET {ENDPOINTS_PATH}/metrics: 503: "
        "error trying to reach service: dial tcp: connect: connection refused",
        ENGINE,
        id="page unreachable",
    ),
    pytest.param(
        refuse("/proxy/metrics", 403, FORBIDDEN),
        *("metrics", Outcome.SKIPPED, f"not allowed to ask the pods: GET {ENDPOINTS_PATH}/metrics: 403: {FORBIDDEN}"),
        "it takes the right to get pods/proxy; or run `epp doctor` in a pod whose account may read the rest "
        "(docs/doctor.md)",
        id="no proxy",
    ),
    pytest.param(
        refuse("/proxy/metrics", 403),
        *("metrics", Outcome.FAIL),
        f"/metrics of 2 of 2 endpoints lacks what scorers want: vllm-0-rank-0: GET {ENDPOINTS_PATH}/metrics: 403: no; "
        f"vllm-1-rank-0: GET {ENDPOINTS_PATH.replace('vllm-0', 'vllm-1')}/metrics: 403: no",
        ENGINE,
        id="pods that let nobody in",
    ),
    pytest.param(
        models("other"),
        *("models", Outcome.WARN),
        f"endpoints of the pool serve different models: other, {MODEL}; requests name this, not the Deployment or "
        "the pool",
        "the picker takes them for equal: a pool for each model, or one --served-model-name for all",
        id="different models",
    ),
    pytest.param(
        refuse("/proxy/v1/models", 500),
        *("models", Outcome.FAIL),
        f"/v1/models names no model: vllm-0-rank-0: GET {ENDPOINTS_PATH}/v1/models: 500: no; vllm-1-rank-0: "
        f"GET {ENDPOINTS_PATH.replace('vllm-0', 'vllm-1')}/v1/models: 500: no",
        "with --model NAME the request is sent all the same",
        id="no model",
    ),
]
SERVER_CASES += [
    pytest.param(
        lambda cluster: cluster.change(POOL, "llama")["spec"].update(appProtocol="kubernetes.io/h2c"),
        *(check, Outcome.SKIPPED, "the model servers speak gRPC: appProtocol of the pool is kubernetes.io/h2c", ""),
        id=f"gRPC and {check}",
    )
    for check in ("metrics", "models")
]
ROUTE_CASES = [
    pytest.param(
        lambda cluster: cluster.api.kinds.discard(ROUTES),
        *("routes", Outcome.FAIL),
        "the cluster does not know HTTPRoutes: the CRDs of the Gateway API are not installed",
        "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api/releases/latest/download/"
        "standard-install.yaml; a picker beside a plain Envoy needs none: say --url",
        id="no CRD",
    ),
    pytest.param(
        without(ROUTES, "llama-route"),
        *("routes", Outcome.FAIL, "no HTTPRoute leads to models/llama"),
        "make one with a backendRef of kind: InferencePool, group: inference.networking.k8s.io, name: llama",
        id="no route",
    ),
    pytest.param(
        backend(kind=None, group=None),
        *("routes", Outcome.FAIL),
        "no HTTPRoute leads to models/llama; models/llama-route leads to Service llama (group core) in models",
        "its backendRef has to say kind: InferencePool, group: inference.networking.k8s.io, name: llama: "
        "kubectl edit httproute llama-route -n models",
        id="to a Service",
    ),
    pytest.param(
        route_says([]),
        *("routes accepted", Outcome.FAIL),
        "models/llama-route: Gateway models/inference-gateway says nothing of it",
        "kubectl describe httproute llama-route -n models",
        id="not taken",
    ),
    pytest.param(
        route_says(
            [
                {
                    "parentRef": {"name": "inference-gateway"},
                    "conditions": conditions("Accepted")
                    + conditions("ResolvedRefs", is_true=False, reason="InvalidKind", message="unknown"),
                }
            ]
        ),
        *("routes accepted", Outcome.FAIL),
        "models/llama-route: Gateway inference-gateway says ResolvedRefs=False: InvalidKind: unknown",
        "kubectl describe httproute llama-route -n models; a gateway that does not know InferencePools says "
        "ResolvedRefs=False",
        id="unresolved",
    ),
    pytest.param(
        without(GATES, "inference-gateway"),
        *("gateways", Outcome.FAIL, "models/inference-gateway does not exist"),
        "kubectl get gateways --all-namespaces; then kubectl describe gateway inference-gateway -n models",
        id="no gateway",
    ),
    pytest.param(
        gateway(
            conditions=conditions("Accepted") + conditions("Programmed", is_true=False, reason="Invalid", message="x")
        ),
        *("gateways", Outcome.FAIL, "models/inference-gateway says Programmed=False: Invalid: x"),
        "kubectl describe gateway inference-gateway -n models",
        id="not programmed",
    ),
    pytest.param(
        gateway(addresses=None),
        *("gateway address", Outcome.FAIL, "models/inference-gateway has no address"),
        "a Service of type LoadBalancer waits for one: kubectl get services -n models -l "
        "gateway.networking.k8s.io/gateway-name=inference-gateway; or kubectl port-forward to it, and say --url",
        id="no address",
    ),
    pytest.param(
        not_ready("gateway-0"),
        *("gateway pods", Outcome.FAIL, "models/inference-gateway: 0 of 1 ready"),
        "kubectl describe pod gateway-0 -n models",
        id="gateway not ready",
    ),
    pytest.param(
        without(PODS, "gateway-0"),
        *("gateway pods", Outcome.SKIPPED),
        "no pod has the label gateway.networking.k8s.io/gateway-name: the gateway is made otherwise, or outside of "
        "the cluster",
        "",
        id="no gateway pods",
    ),
    pytest.param(
        lambda cluster: cluster.api.put(f"{ISTIO}/envoyfilters", dict(FILTER)),
        *("envoy filters", Outcome.PASS),
        "models/body-mode: about ext_proc, so body mode and picker are as they say",
        "",
        id="filter",
    ),
]


@pytest.mark.parametrize(("change", "check", "outcome", "message", "advice"), [*SERVER_CASES, *ROUTE_CASES])
async def test_row_and_advice(
    cluster: DoctorCluster, change: Break, check: str, outcome: Outcome, message: str, advice: str
) -> None:
    change(cluster)
    assert await row_of(check) == Row(check, outcome, message, advice)
