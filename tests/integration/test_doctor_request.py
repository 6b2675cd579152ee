"""What ``epp doctor`` says of the request that it sends, and from inside of a pod."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from epp.demo.envoy import BodyMode
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.doctor import Question, Report
from epp.doctor.examination import examine_at
from epp.doctor.verdict import Outcome, Row
from epp.extproc.health import Health
from epp.extproc.transport import Transport, make_server
from epp.kube.connection import Api
from epp.kube.objects import NEW_POOL_GROUP
from tests.fakes.breaking import PODS, POOL, Break, picker_args, row_of
from tests.fakes.doctor_cluster import ISTIO, MODEL, DoctorCluster
from tests.fakes.running import running_envoy, starting_picker

FILTER = {"metadata": {"name": "body-mode"}, "spec": {"configPatches": [{"name": "envoy.filters.http.ext_proc"}]}}
NO_ADDRESS = "is that address reachable from here? kubectl port-forward to the gateway's Service, and say --url"
BLIND = "in mode streamed the picker decides before it sees model and prompt: full_duplex_streamed 12, streamed 3"


def answer(status: int, text: str) -> Break:
    return lambda cluster: setattr(cluster.gateway, "refusal", (status, text))


@pytest.mark.parametrize(
    ("change", "message", "advice"),
    [
        pytest.param(
            answer(404, ""),
            "404: no body",
            "no route takes this host, path and headers, or no server has this model: kubectl get httproutes -A, "
            "and --model",
            id="no route",
        ),
        pytest.param(
            answer(500, "ext_proc   error\n" + "x" * 300),
            f"500: ext_proc error {'x' * 185}...",
            "the gateway could not ask the picker: the protocol of the Service's port and --secure-serving have to "
            "fit, and on Istio a DestinationRule",
            id="no picker",
        ),
        pytest.param(
            answer(503, "no healthy upstream"),
            "503: no healthy upstream",
            "no endpoint, or none that the gateway reaches: see the checks of picker and model servers above",
            id="no endpoint",
        ),
        pytest.param(
            answer(308, ""),
            "308: no body",
            "the gateway wants it elsewhere, such as at its https listener: say --url",
            id="elsewhere",
        ),
        pytest.param(answer(418, "teapot"), "418: teapot", "the answer says what is wrong", id="anything else"),
    ],
)
async def test_answer_that_is_an_error_is_shown_with_what_to_do(
    cluster: DoctorCluster, change: Break, message: str, advice: str
) -> None:
    change(cluster)
    url = f"http://{HOST}:{cluster.gateway.port}/v1/completions"
    expected = Row("request", Outcome.FAIL, f"POST {url} for model {MODEL}: {message}", advice)
    assert await row_of("request") == expected


async def test_model_that_is_not_served_is_said_before_and_after_the_request(cluster: DoctorCluster) -> None:
    row = await row_of("models", model="llama")
    assert row.outcome is Outcome.WARN
    assert row.message.startswith(f"`llama` is not served; served: {MODEL}; ")
    assert row.advice == f"say --model {MODEL}; another name works only where an InferenceModelRewrite knows it"
    row = await row_of("request", model="llama")
    assert row.outcome is Outcome.FAIL
    assert 'for model llama: 404: {"error": {"message": "The model `llama` does not exist."}}' in row.message


@pytest.mark.parametrize("url", [f"http://{HOST}:1", "http://", "gateway:80", "http://no-such-host.invalid"])
async def test_address_that_does_not_answer_is_a_failure(cluster: DoctorCluster, url: str) -> None:
    row = await row_of("request", url=url)
    assert (row.outcome, row.advice) == (Outcome.FAIL, NO_ADDRESS)
    assert row.message.startswith(f"POST {url.rstrip('/')}/v1/completions: ")


async def test_request_that_went_past_the_picker_is_told(cluster: DoctorCluster) -> None:
    cluster.gateway.asks = False
    assert (await row_of("request")).outcome is Outcome.PASS
    assert await row_of("decision") == Row(
        "decision",
        Outcome.FAIL,
        "the request was answered, and no picker has decided on it (asked: llama-epp-0)",
        "it went straight to a Service, or to another pool's picker: the HTTPRoute's backendRef has to be the "
        "InferencePool, for this host and path too",
    )


async def test_request_that_failed_after_the_picker_was_asked_shows_where_it_went(cluster: DoctorCluster) -> None:
    assert await row_of("decision", model="llama") == Row(
        "decision", Outcome.PASS, "to models/vllm-0-rank-0 (pod vllm-0), by the picker llama-epp-0"
    )


async def test_request_that_failed_before_the_picker_was_asked_is_no_proof_of_anything(cluster: DoctorCluster) -> None:
    answer(503, "")(cluster)
    row = await row_of("decision")
    assert row.outcome is Outcome.SKIPPED
    assert row.message == ("the request failed, and no picker has decided on it: it did not get there, or was refused")


async def test_gateway_that_no_route_attaches_to_is_told(cluster: DoctorCluster) -> None:
    assert await row_of("routes", gateway="edge") == Row(
        "routes",
        Outcome.FAIL,
        "no HTTPRoute of Gateway edge leads to models/llama; others do: models/llama-route",
        "name the Gateway in a route's parentRefs: kubectl edit httproute llama-route -n models",
    )
    assert (await row_of("routes", gateway="inference-gateway")).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("has_filter", "more"),
    [
        pytest.param(
            False, "on Istio an EnvoyFilter such as config/istio/envoyfilter-buffered.yaml does", id="without a filter"
        ),
        pytest.param(True, "these EnvoyFilters set it: models/body-mode", id="with a filter"),
    ],
)
async def test_body_mode_without_a_body_is_a_warning(cluster: DoctorCluster, *, has_filter: bool, more: str) -> None:
    cluster.picker.modes["streamed"] = 3
    if has_filter:
        cluster.api.put(f"{ISTIO}/envoyfilters", dict(FILTER))
    advice = f"let the gateway ask with FULL_DUPLEX_STREAMED or BUFFERED (docs/gateways.md); {more}"
    assert await row_of("body mode") == Row("body mode", Outcome.WARN, BLIND, advice)


async def test_picker_that_nobody_has_asked_yet_has_no_body_mode(cluster: DoctorCluster) -> None:
    cluster.picker.modes.clear()
    assert await row_of("body mode") == Row("body mode", Outcome.SKIPPED, "no request has come to the picker yet")


@pytest.fixture
async def health(cluster: DoctorCluster) -> AsyncIterator[Health]:
    """The cluster as it is seen from a pod: pods are at their addresses, and the picker has gRPC health."""
    health = Health()
    server = make_server(Transport.AUTO, health.methods, certificate=None, max_message_bytes=4096)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    health.set_ready(ready=True)
    for one in cluster.api.objects[PODS].values():
        one["status"]["podIP"] = HOST
    picker_args("--grpc-health-port", str(port), f"--metrics-port={cluster.picker.port}")(cluster)
    cluster.change(POOL, "llama")["spec"]["targetPorts"] = [{"number": cluster.servers[0].port}]
    yield health
    await server.stop(0)


async def seen_inside(cluster: DoctorCluster) -> Report:
    async with httpx2.AsyncClient(base_url=f"http://{HOST}:{cluster.api.port}") as http:
        api = Api(http, "models", is_in_pod=True)
        return await examine_at(api, Question(pool_name="llama", pool_group=NEW_POOL_GROUP, timeout_s=5.0))


async def test_inside_of_the_cluster_pods_are_asked_directly(cluster: DoctorCluster, health: Health) -> None:
    cluster.api.backends.clear()
    report = await seen_inside(cluster)
    assert [row for row in report.rows if row.outcome is not Outcome.PASS] == []


async def test_inside_of_a_pod_without_rights_its_own_account_is_asked_about(
    cluster: DoctorCluster, health: Health
) -> None:
    cluster.api.refusals["/subjectaccessreviews"] = (403, "no")
    cluster.api.denied.add(("watch", "pods"))
    (row,) = [row for row in (await seen_inside(cluster)).rows if row.check == "picker access"]
    assert (row.outcome, row.message) == (Outcome.FAIL, "the account of this pod may not watch pods")
    assert {review["kind"] for review in cluster.api.reviews} == {"SelfSubjectAccessReview"}


async def test_picker_whose_grpc_health_is_not_serving_is_told(cluster: DoctorCluster, health: Health) -> None:
    health.set_ready(ready=False)
    (row,) = [row for row in (await seen_inside(cluster)).rows if row.check == "picker health"]
    assert row.outcome is Outcome.WARN
    assert row.message.endswith(" says NOT_SERVING")


async def test_real_picker_behind_a_real_envoy_is_well(cluster: DoctorCluster) -> None:
    for one in cluster.api.objects[PODS].values():
        one["status"]["podIP"] = HOST
    cluster.api.delete(PODS, "vllm-1")
    cluster.change(POOL, "llama")["spec"]["targetPorts"] = [{"number": cluster.servers[0].port}]
    cluster.api.backends[f"vllm-0:{cluster.servers[0].port}"] = cluster.servers[0].port
    flags = ("--pool-name", "llama", "--pool-namespace", "models", "--refresh-metrics-interval", "200ms")
    async with starting_picker(*flags) as picker, running_envoy(picker, BodyMode.FULL_DUPLEX) as url:
        await picker.wait_until_ready()
        cluster.api.backends["llama-epp-0:9090"] = picker.ports.metrics
        async with asyncio.timeout(60):
            rows = {one: await row_of(one, url=url) for one in ("picker health", "request", "decision", "body mode")}
    assert {row.outcome for row in rows.values()} == {Outcome.PASS}
    assert rows["decision"].message == "to models/vllm-0-rank-0 (pod vllm-0), by the picker llama-epp-0"
    assert rows["body mode"].message.startswith("streams by request body mode: full_duplex_streamed ")
