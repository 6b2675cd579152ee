"""What ``epp doctor`` says of a pool or a picker that is not as it should be: the row, and what to do."""

import pytest

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.doctor.verdict import Outcome, Row
from epp.serving import listening_http
from tests.fakes.breaking import (
    KUBECTL_POOL,
    PODS,
    POOL,
    SERVICES,
    Break,
    deployment,
    not_ready,
    patch,
    picker_args,
    pool_says,
    pool_spec,
    refuse,
    row_of,
    service_port,
    without,
)
from tests.fakes.doctor_cluster import DoctorCluster, FakePicker, conditions, put_pod
from tests.fakes.kube_api import CORE, POOLS

HTTP2, H2C = '"http2"', '"kubernetes.io/h2c"'
POOL_CASES = [
    pytest.param(
        lambda cluster: cluster.api.kinds.discard(POOL),
        *("pool", Outcome.FAIL, "the cluster does not know InferencePools: their CRDs are not installed"),
        "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api-inference-extension"
        "/releases/latest/download/manifests.yaml",
        id="no CRD",
    ),
    pytest.param(
        lambda cluster: (
            cluster.api.kinds.discard(POOL),
            cluster.api.kinds.add("/apis/inference.networking.x-k8s.io/v1alpha2/inferencepools"),
        ),
        *("pool", Outcome.FAIL),
        "the cluster has no InferencePools of inference.networking.k8s.io, and has those of "
        "inference.networking.x-k8s.io",
        "say --pool-group inference.networking.x-k8s.io, here and to the picker, or install the CRDs of "
        "inference.networking.k8s.io",
        id="other CRD",
    ),
    pytest.param(
        lambda cluster: (
            cluster.api.put(POOL, cluster.change(POOL, "llama") | {"metadata": {"name": "lama"}}),
            without(POOL, "llama")(cluster),
        ),
        *("pool", Outcome.FAIL, "there is no InferencePool models/llama; there are: models/lama"),
        "check --pool-name and --pool-namespace, here and among the picker's flags: "
        "kubectl get inferencepools --all-namespaces",
        id="no pool",
    ),
    pytest.param(
        refuse(f"{POOLS}/namespaces/models/inferencepools/llama", 403),
        *("pool", Outcome.SKIPPED),
        f"not allowed: GET {POOLS}/namespaces/models/inferencepools/llama: 403: no",
        "run it as somebody who may read this",
        id="forbidden pool",
    ),
    pytest.param(
        lambda cluster: cluster.change(POOL, "llama").pop("status"),
        *("pool accepted", Outcome.FAIL, "no gateway has taken models/llama: its status names none"),
        "does an HTTPRoute name the pool, and does the gateway know InferencePools? In istiod that is switched on by "
        "ENABLE_GATEWAY_API_INFERENCE_EXTENSION=true",
        id="no status",
    ),
    pytest.param(
        pool_says(
            *conditions("Accepted"),
            *conditions("ResolvedRefs", is_true=False, reason="InvalidExtensionRef", message="no Service x"),
        ),
        *("pool accepted", Outcome.FAIL),
        "Gateway inference-gateway says ResolvedRefs=False: InvalidExtensionRef: no Service x",
        "the endpointPickerRef has to name a Service of the pool's namespace: "
        f"kubectl get {KUBECTL_POOL} -o jsonpath='{{.status}}'",
        id="unresolved",
    ),
    pytest.param(
        pool_says(),
        *("pool accepted", Outcome.WARN),
        "Gateway inference-gateway says Accepted=Unknown; Gateway inference-gateway says ResolvedRefs=Unknown",
        f"its controller may be away, or new to it: kubectl get {KUBECTL_POOL} -o jsonpath='{{.status}}'",
        id="undecided",
    ),
]
PICKER_CASES = [
    pytest.param(
        pool_spec(endpointPickerRef=None),
        *("picker service", Outcome.FAIL, "models/llama names no picker: it has no endpointPickerRef"),
        f"name the picker's Service there: kubectl edit {KUBECTL_POOL}",
        id="no reference",
    ),
    pytest.param(
        pool_spec(endpointPickerRef={"name": "llama-epp", "port": {"number": 9999}}),
        *("picker service", Outcome.FAIL, "the pool names port 9999 of Service models/llama-epp, which has: 9002"),
        f"endpointPickerRef.port.number is the Service's port, not the pods': kubectl edit {KUBECTL_POOL}",
        id="no such port",
    ),
    pytest.param(
        lambda cluster: cluster.change(SERVICES, "llama-epp")["spec"].update(type="ExternalName"),
        *("picker service", Outcome.FAIL),
        "Service models/llama-epp is an ExternalName, which gateways do not take for a picker",
        "make it a Service with a selector",
        id="external name",
    ),
    pytest.param(
        not_ready("llama-epp-0"),
        *("picker pods", Outcome.FAIL, "none of 1 is ready: llama-epp-0"),
        "kubectl describe pod llama-epp-0 -n models; kubectl logs says more",
        id="picker is not ready",
    ),
    pytest.param(
        deployment(replicas=0),
        *("picker pods", Outcome.FAIL, "Deployment models/llama-epp wants 0 and has no pod"),
        "kubectl scale deployment llama-epp -n models --replicas=1",
        id="no replicas",
    ),
    pytest.param(
        without(PODS, "llama-epp-0"),
        *("picker pods", Outcome.FAIL),
        "no pod and no Deployment has the labels that Service models/llama-epp selects: app=llama-epp",
        "kubectl get pods -n models --show-labels; then mend the Service's selector",
        id="no picker",
    ),
    pytest.param(
        service_port(targetPort=8080),
        *("picker port", Outcome.FAIL),
        "port 9002 of models/llama-epp leads to 8080 of the pods, and the picker listens on 9002 (--grpc-port)",
        patch("targetPort", "9002"),
        id="wrong target",
    ),
    pytest.param(
        service_port(targetPort="grpc"),
        *("picker port", Outcome.FAIL),
        "port 9002 of models/llama-epp leads to the port named `grpc`, and no container of the picker has one",
        patch("targetPort", "9002"),
        id="wrong name",
    ),
    pytest.param(
        service_port(appProtocol="kubernetes.io/h2c"),
        *("picker protocol", Outcome.FAIL),
        "port 9002 of models/llama-epp has appProtocol `kubernetes.io/h2c`, and the picker speaks TLS "
        "(--secure-serving is on)",
        f"expected is `http2`: {patch('appProtocol', HTTP2)}; or start the picker with --secure-serving=false",
        id="h2c and TLS",
    ),
    pytest.param(
        lambda cluster: (service_port(appProtocol="https")(cluster), picker_args("--secure-serving=false")(cluster)),
        *("picker protocol", Outcome.FAIL),
        "port 9002 of models/llama-epp has appProtocol `https`, and the picker speaks plaintext "
        "(--secure-serving=false)",
        f"expected is `kubernetes.io/h2c`: {patch('appProtocol', H2C)}; or start the picker with --secure-serving",
        id="https and plaintext",
    ),
    pytest.param(
        service_port(appProtocol="http"),
        *("picker protocol", Outcome.FAIL),
        "port 9002 of models/llama-epp has appProtocol `http`, and ext_proc is gRPC: it needs HTTP/2",
        f"expected is `http2`: {patch('appProtocol', HTTP2)}",
        id="HTTP/1",
    ),
    pytest.param(
        service_port(appProtocol=None),
        *("picker protocol", Outcome.WARN),
        "port 9002 of models/llama-epp has no appProtocol: some gateways, Istio among them, then take it for TCP",
        f"expected is `http2`: {patch('appProtocol', HTTP2)}",
        id="no protocol",
    ),
    pytest.param(
        lambda cluster: cluster.api.denied.update({("list", "pods"), ("watch", "pods"), ("update", "leases")}),
        *("picker access", Outcome.FAIL),
        "ServiceAccount models/llama-epp may not list, watch pods; update leases",
        "kubectl create role epp-pods -n models --verb=get,list,watch --resource=pods && "
        "kubectl create rolebinding epp-pods -n models --role=epp-pods --serviceaccount=models:llama-epp",
        id="no rights",
    ),
    pytest.param(
        refuse("/subjectaccessreviews", 403),
        *("picker access", Outcome.SKIPPED),
        "not allowed to ask what others may: it takes the right to create subjectaccessreviews",
        "ask somebody who may: kubectl auth can-i get pods -n models --as=system:serviceaccount:models:llama-epp",
        id="rights are secret",
    ),
    pytest.param(
        lambda cluster: setattr(cluster.picker, "unmet", "not yet: the pool is known"),
        *("picker health", Outcome.FAIL),
        f"llama-epp-0: GET {CORE}/namespaces/models/pods/llama-epp-0:9090/proxy/readyz: 503: "
        "not yet: the pool is known",
        "kubectl logs llama-epp-0 -n models says why",
        id="picker waits",
    ),
    pytest.param(
        refuse("/proxy/readyz", 403, "pods is forbidden: no"),
        *("picker health", Outcome.SKIPPED),
        "not allowed to ask the picker's pods: llama-epp-0: "
        f"GET {CORE}/namespaces/models/pods/llama-epp-0:9090/proxy/readyz: 403: pods is forbidden: no",
        "it takes the right to get pods/proxy; or run `epp doctor` in a pod whose account may read the rest "
        "(docs/doctor.md)",
        id="no proxy",
    ),
    pytest.param(
        lambda cluster: setattr(cluster.picker, "unmet", "not yet: this picker is the leader"),
        *("picker health", Outcome.FAIL, "all wait to be the leader: llama-epp-0"),
        "the Lease has a holder that is gone, or may not be updated",
        id="no leader",
    ),
    pytest.param(
        lambda cluster: setattr(cluster.picker, "unmet", "\x1b[2Jnot yet: \n the pool is known"),
        *("picker health", Outcome.FAIL),
        f"llama-epp-0: GET {CORE}/namespaces/models/pods/llama-epp-0:9090/proxy/readyz: 503: "
        "[2Jnot yet: the pool is known",
        "kubectl logs llama-epp-0 -n models says why",
        id="control characters",
    ),
    pytest.param(
        refuse("/proxy/readyz", 404),
        *("picker health", Outcome.WARN),
        "the pods answer, and have no /readyz: this is another picker, or an older one",
        "kubelet's probes say whether it is ready",
        id="another picker",
    ),
]


@pytest.mark.parametrize(("change", "check", "outcome", "message", "advice"), [*POOL_CASES, *PICKER_CASES])
async def test_row_and_advice(
    cluster: DoctorCluster,
    change: Break,
    check: str,
    outcome: Outcome,
    message: str,
    advice: str,
) -> None:
    change(cluster)
    assert await row_of(check) == Row(check, outcome, message, advice)


@pytest.mark.parametrize("check", ["decision", "body mode"])
async def test_picker_that_cannot_be_reached_does_not_hide_one_that_can(cluster: DoctorCluster, check: str) -> None:
    picker = cluster.api.objects[PODS].pop("llama-epp-0")
    put_pod(cluster.api, "another", "10.0.1.4", {"app": "llama-epp"}, {})
    cluster.api.put(PODS, picker)
    row = await row_of("picker health")
    assert row.outcome is Outcome.WARN
    assert "another: " in row.message
    assert (await row_of(check)).outcome is Outcome.PASS


async def test_picker_that_waits_to_be_the_leader_is_well_beside_one_that_is(cluster: DoctorCluster) -> None:
    standby = FakePicker(unmet="not yet: this picker is the leader\n", port=free_ports(HOST, [0])[0])
    put_pod(cluster.api, "llama-epp-1", "10.0.1.4", {"app": "llama-epp"}, {}, is_ready=False)
    cluster.api.backends["llama-epp-1:9090"] = standby.port
    async with listening_http(standby.application(), host=HOST, port=standby.port):
        row = await row_of("picker health")
    message = "1 of 2 answer and are ready; kept warm, as not the leader: llama-epp-1"
    assert row == Row("picker health", Outcome.PASS, message)
