"""The chart ``standalone``: its values, and its Envoy, which a real one takes."""

import subprocess
from pathlib import Path

import pytest
import yaml
from helm_python import HelmError

from epp.demo.envoy import BodyMode, Listener, envoy_config, find_envoy
from tests.charts.rendering import Json, Release, nested, picker_args, release, rendered


def envoy_of(values: Json | None = None) -> Json:
    document: Json = yaml.safe_load(envoy_text(release("standalone", values)))
    return document


def envoy_text(installed: Release) -> str:
    text: str = installed.the("ConfigMap", "llm-epp-envoy")["data"]["envoy.yaml"]
    return text


def proxy(installed: Release) -> Json:
    container: Json = next(one for one in installed.pod["containers"] if one["name"] == "envoy")
    return container


def address_of(address: str, port: int) -> Json:
    compat = {"ipv4_compat": True} if ":" in address else {}
    return {"socket_address": {"address": address, "port_value": port} | compat}


def filters_of(listener: Json) -> list[Json]:
    filters: list[Json] = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    return filters


def test_picker_is_started_for_pods_by_their_labels() -> None:
    server: Json = {"endpointSelector": "app=vllm,tier=gpu", "targetPorts": "8000,8001"}
    assert picker_args(rendered("standalone", {"inferenceExtension": {"endpointsServer": server}})) == [
        "--endpoint-selector=app=vllm,tier=gpu",
        "--endpoint-target-ports=8000,8001",
        "--config-file=/config/default-plugins.yaml",
        "--bind-address=::",
        "--v=1",
    ]


def test_one_port_may_be_a_number() -> None:
    assert (
        "--endpoint-target-ports=8100"
        in release("standalone", nested("inferenceExtension.endpointsServer.targetPorts", 8100)).args
    )


def test_there_are_no_custom_resources_and_no_rights_to_read_pools() -> None:
    installed = release("standalone")
    resources = {resource for rule in installed.the("Role")["rules"] for resource in rule["resources"]}
    assert resources == {"pods", "inferenceobjectives", "inferencemodelrewrites"}
    assert {one["apiVersion"] for one in installed.manifests} == {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"}


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("is_secure", [True, False], ids=["TLS", "clear text"])
def test_envoy_is_configured_as_the_demo_does_it(mode: BodyMode, *, is_secure: bool) -> None:
    values: Json = {
        "proxy": {"bodyMode": mode.envoy_name},
        "inferenceExtension": {"flags": {"secure-serving": is_secure}},
    }
    mine = envoy_of(values)["static_resources"]
    of_demo = envoy_config([Listener(port=8081, request_body=mode)], picker_ports=[9002], secure=is_secure)
    theirs = of_demo["static_resources"]
    assert [one for one in mine["clusters"] if one["name"] != "admin"] == theirs["clusters"]
    (traffic,) = [one for one in mine["listeners"] if one["name"] == "traffic"]
    assert traffic.pop("name") == "traffic"
    assert traffic.pop("address") == address_of("::", 8081)
    (of_demo_listener,) = theirs["listeners"]
    del of_demo_listener["address"]
    assert traffic == of_demo_listener


@pytest.mark.parametrize("address", ["::", "0.0.0.0"])  # noqa: S104 - in a pod
def test_both_ports_of_envoy_are_for_ipv4_and_ipv6_unless_nodes_have_none(address: str) -> None:
    listeners = envoy_of(nested("proxy.bindAddress", address))["static_resources"]["listeners"]
    assert [one["address"] for one in listeners] == [address_of(address, 8081), address_of(address, 19001)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="default"),
        pytest.param({"inferenceExtension": {"latencyPredictor": {"enabled": True}}}, id="latency"),
        pytest.param({"inferenceExtension": {"flags": {"secure-serving": False}}}, id="clear text"),
        pytest.param({"proxy": {"bindAddress": "0.0.0.0"}}, id="IPv4 alone"),  # noqa: S104 - in a pod
        *(pytest.param({"proxy": {"bodyMode": mode.envoy_name}}, id=mode) for mode in BodyMode),
    ],
)
def test_envoy_takes_its_configuration(values: Json, tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(envoy_text(release("standalone", values)))
    command = [str(find_envoy()), "--mode", "validate", "--log-level", "error", "--config-path", str(file)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    assert outcome.returncode == 0, outcome.stderr


def test_envoy_takes_its_arguments() -> None:
    arguments = proxy(release("standalone"))["args"]
    outcome = subprocess.run(  # noqa: S603 - ours
        [str(find_envoy()), *arguments, "--mode", "validate"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "/etc/envoy/envoy.yaml" in outcome.stderr, "it went as far as to look for the file, which is only in the pod"


def test_values_of_the_proxy() -> None:
    values: Json = {
        "image": {"repository": "mirror/envoy", "tag": "v1", "pullPolicy": "Always"},
        "port": 8080,
        "bufferLimitBytes": 1048576,
        "concurrency": 4,
        "drainSeconds": 7,
        "resources": {"requests": {"cpu": 2}},
    }
    installed = release("standalone", {"proxy": values})
    container = proxy(installed)
    assert (container["image"], container["imagePullPolicy"]) == ("mirror/envoy:v1", "Always")
    assert container["args"][container["args"].index("--concurrency") + 1] == "4"
    assert container["ports"][0] == {"name": "http", "containerPort": 8080}
    assert container["resources"]["requests"]["cpu"] == 2
    assert installed.the("Service")["spec"]["ports"][0] == {"name": "http", "port": 8080, "targetPort": "http"}
    (traffic, _) = yaml.safe_load(envoy_text(installed))["static_resources"]["listeners"]
    assert traffic["address"]["socket_address"]["port_value"] == 8080
    assert traffic["per_connection_buffer_limit_bytes"] == 1048576


def test_picker_and_envoy_go_on_for_as_long_as_answers_may_take() -> None:
    installed = release("standalone", nested("proxy.drainSeconds", 7))
    assert installed.picker["lifecycle"] == proxy(installed)["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}


def test_leader_is_told_at_once_to_give_its_lease_back() -> None:
    installed = release("standalone", nested("inferenceExtension.replicas", 2))
    assert "lifecycle" not in installed.picker
    assert proxy(installed)["lifecycle"] == {"preStop": {"sleep": {"seconds": 30}}}


def test_answers_are_shown_where_latencies_are_learned_from_them() -> None:
    values = nested("inferenceExtension.latencyPredictor.enabled", value=True)
    mode = filters_of(envoy_of(values)["static_resources"]["listeners"][0])[0]["typed_config"]["processing_mode"]
    assert mode["response_body_mode"] == "STREAMED"


def test_envoy_asks_the_port_of_the_picker() -> None:
    picker = envoy_of(nested("inferenceExtension.extProcPort", 9102))["static_resources"]["clusters"][1]
    (locality,) = picker["load_assignment"]["endpoints"]
    assert locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] == 9102


def test_pod_is_replaced_when_its_envoy_is_configured_otherwise() -> None:
    def checksum(values: Json) -> object:
        template = release("standalone", values).the("Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/envoy"]

    assert checksum({}) == checksum({"inferenceExtension": {"pluginsCustomConfig": {"a.yaml": "a: b"}}})
    assert checksum({}) != checksum({"proxy": {"bodyMode": "BUFFERED"}})


def test_monitoring_on_gke_is_its_own() -> None:
    values: Json = {
        "provider": {"name": "gke"},
        "inferenceExtension": {"monitoring": {"prometheus": {"enabled": True}}},
    }
    assert release("standalone", values).all("PodMonitoring")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"endpointSelector": ""}, "endpointSelector is required", id="no selector"),
        pytest.param({"createInferencePool": True}, "use the chart `inferencepool`", id="pool"),
    ],
)
def test_values_that_cannot_work_are_refused(values: Json, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        release("standalone", {"inferenceExtension": {"endpointsServer": values}})
