"""Each value under ``inferenceExtension`` has its effect, in both charts."""

from collections.abc import Callable

import pytest
from helm_python import HelmError

from epp.settings import Settings
from tests.charts.rendering import NEEDED, Json, Release, nested, release

PORT: Json = {"name": "zmq", "containerPort": 5557, "protocol": "TCP"}
SERVICE_PORT: Json = {"name": "zmq", "port": 5557, "targetPort": "zmq"}
VARIABLE: Json = {"name": "A", "value": "b"}
VOLUME: Json = {"name": "certificate", "secret": {"secretName": "tls"}}
MOUNT: Json = {"name": "certificate", "mountPath": "/tls"}
TOLERATION: Json = {"key": "gpu", "operator": "Exists"}
AFFINITY: Json = {"nodeAffinity": {}}
HUB: Json = {"hub": "registry.example.com/x", "name": "epp", "tag": "v1"}
REGISTRY: Json = {"registry": "registry.example.com", "repository": "x/epp", "tag": "v2"}

charts = pytest.mark.parametrize("chart", NEEDED)


def service_ports(installed: Release) -> list[Json]:
    ports: list[Json] = installed.the("Service")["spec"]["ports"]
    return ports


def container_port(installed: Release, name: str) -> object:
    return next(port["containerPort"] for port in installed.picker["ports"] if port["name"] == name)


EFFECTS = [
    ("replicas", 3, lambda it: it.the("Deployment")["spec"]["replicas"], 3),
    ("image", HUB, lambda it: it.picker["image"], "registry.example.com/x/epp:v1"),
    ("image", REGISTRY, lambda it: it.picker["image"], "registry.example.com/x/epp:v2"),
    ("image.pullPolicy", "Always", lambda it: it.picker["imagePullPolicy"], "Always"),
    ("imagePullSecrets", [{"name": "s"}], lambda it: it.pod["imagePullSecrets"], [{"name": "s"}]),
    ("extProcPort", 9102, lambda it: container_port(it, "grpc"), 9102),
    ("extProcPort", 9102, lambda it: "--grpc-port=9102" in it.args, True),
    ("flags", {"v": 4}, lambda it: "--v=4" in it.args, True),
    ("flags", {"drain-delay": "9s"}, lambda it: "--drain-delay=9s" in it.args, True),
    (
        "flags",
        {"max-request-body-bytes": 67108864},
        lambda it: "--max-request-body-bytes=67108864" in it.args,
        True,
    ),
    ("flags", {"secure-serving": False}, lambda it: "--secure-serving=false" in it.args, True),
    ("env", [VARIABLE], lambda it: it.picker["env"][-1], VARIABLE),
    (
        "podAnnotations",
        {"a": "b"},
        lambda it: it.the("Deployment")["spec"]["template"]["metadata"]["annotations"]["a"],
        "b",
    ),
    ("extraContainerPorts", [PORT], lambda it: it.picker["ports"][-1], PORT),
    ("extraServicePorts", [SERVICE_PORT], lambda it: service_ports(it)[-1], SERVICE_PORT),
    ("volumes", [VOLUME], lambda it: it.pod["volumes"][-1], VOLUME),
    ("volumeMounts", [MOUNT], lambda it: it.picker["volumeMounts"][-1], MOUNT),
    ("affinity", AFFINITY, lambda it: it.pod["affinity"], AFFINITY),
    ("tolerations", [TOLERATION], lambda it: it.pod["tolerations"], [TOLERATION]),
    ("nodeSelector", {"a": "b"}, lambda it: it.pod["nodeSelector"], {"a": "b"}),
    ("priorityClassName", "high", lambda it: it.pod["priorityClassName"], "high"),
    ("resources", {"requests": {"cpu": 1}}, lambda it: it.picker["resources"]["requests"]["cpu"], 1),
    ("terminationGracePeriodSeconds", 130, lambda it: it.pod["terminationGracePeriodSeconds"], 130),
    ("pluginsCustomConfig", {"a.yaml": "x: 1\n"}, lambda it: it.config("a.yaml"), "x: 1\n"),
    ("monitoring.prometheus", {"enabled": True}, lambda it: len(it.all("ServiceMonitor")), 1),
    (
        "monitoring.prometheus",
        {"enabled": True, "extraLabels": {"a": "b"}},
        lambda it: it.the("ServiceMonitor")["metadata"]["labels"]["a"],
        "b",
    ),
    (
        "monitoring",
        {"interval": "30s", "prometheus": {"enabled": True}},
        lambda it: it.the("ServiceMonitor")["spec"]["endpoints"][0]["interval"],
        "30s",
    ),
    (
        "monitoring.dashboard",
        {"enabled": True, "labels": {"a": "b"}},
        lambda it: it.the("ConfigMap", "llm-epp-dashboard")["metadata"]["labels"]["a"],
        "b",
    ),
    ("monitoring.prometheus.auth", {"enabled": True}, lambda it: "prometheus.auth has no effect" in it.notes, True),
    ("monitoring.secret", {"name": "s"}, lambda it: "monitoring.secret has no effect" in it.notes, True),
    ("tracing", {"enabled": True, "sampling": {}}, lambda it: "tracing has no effect" in it.notes, True),
    ("sidecar", {"enabled": True, "image": "x"}, lambda it: "sidecar has no effect" in it.notes, True),
    (
        "latencyPredictor",
        {"enabled": True, "predictionServers": {"count": 10}},
        lambda it: "only `enabled` has an effect" in it.notes,
        True,
    ),
]


@charts
@pytest.mark.parametrize(("path", "value", "effect", "expected"), EFFECTS)
def test_value_has_its_effect(
    chart: str, path: str, value: object, effect: Callable[[Release], object], expected: object
) -> None:
    assert effect(release(chart, nested(f"inferenceExtension.{path}", value))) == expected


@charts
def test_nothing_is_without_effect_by_default(chart: str) -> None:
    assert "effect" not in release(chart).notes


@charts
def test_file_in_use_is_one_that_exists(chart: str) -> None:
    mine = {"pluginsConfigFile": "mine.yaml", "pluginsCustomConfig": {"mine.yaml": "a: b"}}
    installed = release(chart, {"inferenceExtension": mine})
    assert "--config-file=/config/mine.yaml" in installed.args
    assert {"name": "config", "mountPath": "/config", "readOnly": True} in installed.picker["volumeMounts"]


@charts
def test_own_text_takes_the_place_of_the_default_file(chart: str) -> None:
    mine = nested("inferenceExtension.pluginsCustomConfig", {"default-plugins.yaml": "a: b"})
    assert release(chart, mine).config() == "a: b"


@charts
@pytest.mark.parametrize("flag", ["metrics-port", "grpc-port", "grpc-health-port", "config-file", "config-text"])
def test_flag_that_the_chart_sets_by_a_value_is_refused(chart: str, flag: str) -> None:
    with pytest.raises(HelmError, match=f"flags.{flag} is not taken"):
        release(chart, {"inferenceExtension": {"flags": {flag: 1}}})


@charts
def test_file_that_does_not_exist_is_refused(chart: str) -> None:
    with pytest.raises(HelmError, match=r"has to be default-plugins\.yaml or a key of"):
        release(chart, {"inferenceExtension": {"pluginsConfigFile": "mine.yaml"}})


@charts
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param("replica", 2, "additional properties 'replica' not allowed", id="unknown"),
        pytest.param("replicas", "two", "got string, want integer", id="type"),
        pytest.param("failureMode", "Open", "value must be one of 'FailOpen', 'FailClose'", id="choice"),
        pytest.param("image.hubb", "x", "additional properties 'hubb' not allowed", id="unknown below"),
        pytest.param("flags", {"--v": 1}, "does not match pattern", id="dashes"),
    ],
)
def test_value_that_cannot_be_meant_is_refused(chart: str, path: str, value: object, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        release(chart, nested(f"inferenceExtension.{path}", value))


@charts
def test_kubelet_asks_the_health_port_for_services_of_the_picker(chart: str) -> None:
    picker = release(chart).picker
    assert picker["startupProbe"]["grpc"] == picker["livenessProbe"]["grpc"] == {"port": 9003, "service": "liveness"}
    assert picker["readinessProbe"]["grpc"] == {"port": 9003, "service": "readiness"}


@charts
def test_picker_knows_its_pod_and_namespace(chart: str) -> None:
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in release(chart).picker["env"]}
    assert fields == {
        "NAMESPACE": "metadata.namespace",
        "POD_NAME": "metadata.name",
        "POD_TEMPLATE_HASH": "metadata.labels['pod-template-hash']",
    }


@charts
def test_pod_has_the_time_that_the_picker_takes_to_stop(chart: str) -> None:
    installed = release(chart)
    lingers = installed.picker.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    settings = Settings()
    assert installed.pod["terminationGracePeriodSeconds"] > lingers + settings.drain_delay + settings.drain_timeout
