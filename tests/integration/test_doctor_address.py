"""Where ``epp doctor`` sends its request: so that the pool's route takes it."""

import pytest

from epp.doctor.verdict import Outcome
from tests.fakes.breaking import GATES, ROUTES, row_of
from tests.fakes.doctor_cluster import MODEL, DoctorCluster
from tests.fakes.kube_api import Json


def rule(cluster: DoctorCluster) -> Json:
    found: Json = cluster.change(ROUTES, "llama-route")["spec"]["rules"][0]
    return found


async def test_headers_that_the_route_wants_are_sent(cluster: DoctorCluster) -> None:
    cluster.gateway.wanted = {"X-Model": "llama"}
    rule(cluster)["matches"] = [{"headers": [{"type": "Exact", "name": "X-Model", "value": "llama"}]}]
    assert (await row_of("request")).outcome is Outcome.PASS
    url = f"http://127.0.0.1:{cluster.gateway.port}"
    assert (await row_of("request", url=url)).outcome is Outcome.PASS
    assert (await row_of("gateway address", url=url)).message == f"{url} with X-Model: llama, as --url says"


@pytest.mark.parametrize(
    ("matches", "path"),
    [
        pytest.param([{"path": {"type": "PathPrefix", "value": "/"}}], "/v1/completions", id="all"),
        pytest.param([{"path": {"type": "PathPrefix", "value": "/v1/"}}], "/v1/completions", id="prefix of it"),
        pytest.param([{"path": {"type": "PathPrefix", "value": "/llama"}}], "/llama/v1/completions", id="prefix"),
        pytest.param(
            [{"path": {"type": "Exact", "value": "/v1/models"}}, {"path": {"value": "/v1"}}],
            *("/v1/completions",),
            id="one of several",
        ),
    ],
)
async def test_path_is_one_that_the_route_takes(cluster: DoctorCluster, matches: list[Json], path: str) -> None:
    rule(cluster)["matches"] = matches
    url = f"http://127.0.0.1:{cluster.gateway.port}"
    assert (await row_of("request")).message == f"POST {url}{path} for model {MODEL}: 200"
    assert cluster.gateway.paths == [path]


async def test_rule_is_the_one_that_leads_to_the_pool(cluster: DoctorCluster) -> None:
    other = {"matches": [{"path": {"value": "/other"}}], "backendRefs": [{"name": "web", "port": 80}]}
    cluster.change(ROUTES, "llama-route")["spec"]["rules"].insert(0, other)
    await row_of("request")
    assert cluster.gateway.paths == ["/v1/completions"]


def with_listeners(cluster: DoctorCluster, *more: Json) -> None:
    mine = {"name": "mine", "port": cluster.gateway.port, "protocol": "HTTP"}
    cluster.change(GATES, "inference-gateway")["spec"]["listeners"] = [*more, mine]


OTHER: Json = {"name": "other", "port": 1, "protocol": "HTTP"}


@pytest.mark.parametrize("attribute", ["sectionName", "port"])
async def test_listener_is_the_one_that_the_route_names(cluster: DoctorCluster, attribute: str) -> None:
    with_listeners(cluster, OTHER)
    value = "mine" if attribute == "sectionName" else cluster.gateway.port
    cluster.change(ROUTES, "llama-route")["spec"]["parentRefs"][0][attribute] = value
    assert (await row_of("request")).outcome is Outcome.PASS


async def test_listener_is_for_a_host_of_the_route(cluster: DoctorCluster) -> None:
    with_listeners(cluster, OTHER | {"hostname": "*.example.org"})
    cluster.change(ROUTES, "llama-route")["spec"]["hostnames"] = ["llama.example.com"]
    assert (await row_of("request")).outcome is Outcome.PASS
    assert cluster.gateway.hosts == ["llama.example.com"]


async def test_host_is_that_of_the_listener_where_the_route_has_none(cluster: DoctorCluster) -> None:
    cluster.change(GATES, "inference-gateway")["spec"]["listeners"][0]["hostname"] = "*.example.org"
    await row_of("request")
    assert cluster.gateway.hosts == ["doctor.example.org"]


async def test_host_is_of_the_route_that_attaches_to_the_gateway_with_the_address(cluster: DoctorCluster) -> None:
    far = {"metadata": {"name": "edge"}, "spec": {"gatewayClassName": "istio"}, "status": {}}
    cluster.api.put(GATES, far)
    route = cluster.change(ROUTES, "llama-route")
    spec = route["spec"] | {"parentRefs": [{"name": "edge"}], "hostnames": ["far.example.com"]}
    cluster.api.put(ROUTES, {"metadata": {"name": "a-route"}, "spec": spec, "status": route["status"]})
    route["spec"]["hostnames"] = ["near.example.com"]
    await row_of("request")
    assert cluster.gateway.hosts == ["near.example.com"]


async def test_listener_that_is_not_there_is_told(cluster: DoctorCluster) -> None:
    cluster.change(ROUTES, "llama-route")["spec"]["parentRefs"][0]["sectionName"] = "https"
    row = await row_of("gateway address")
    assert row.outcome is Outcome.FAIL
    assert row.message == "no listener of models/inference-gateway is one that models/llama-route attaches to"
