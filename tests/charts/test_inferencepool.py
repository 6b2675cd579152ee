"""Each value of the chart ``inferencepool`` has its effect."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from helm_python import HelmError

from tests.charts.rendering import CHARTS, NEEDED, Json, Release, merged, nested, picker_args, release, rendered

V1ALPHA2: Json = {"apiVersion": "inference.networking.x-k8s.io/v1alpha2"}
POLICY: Json = {"connectionPool": {"http": {"http2MaxRequests": 256000}}}
OBJECTIVE: Json = {"name": "batch", "priority": -1}
UNVERIFIED: Json = {"mode": "SIMPLE", "insecureSkipVerify": True}


def pool(installed: Release) -> Json:
    spec: Json = installed.the("InferencePool")["spec"]
    return spec


def rule(installed: Release) -> Json:
    (rule,) = installed.the("HTTPRoute")["spec"]["rules"]
    assert isinstance(rule, dict)
    return rule


def istio(**values: object) -> Json:
    return {"provider": {"name": "istio", "istio": values}}


def route(**values: object) -> Json:
    return {"experimentalHttpRoute": {"enabled": True} | values}


def pool_of(**values: object) -> Json:
    return {"inferencePool": values}


def traffic_policy(installed: Release) -> Any:
    return installed.the("DestinationRule")["spec"]["trafficPolicy"]


EFFECTS = [
    (
        nested("inferencePool.modelServers.matchLabels", {"a": "b"}),
        lambda it: pool(it)["selector"]["matchLabels"]["a"],
        "b",
    ),
    (pool_of(targetPorts=[{"number": 8000}, {"number": 8001}]), lambda it: len(pool(it)["targetPorts"]), 2),
    (pool_of(**V1ALPHA2), lambda it: it.the("InferencePool")["apiVersion"], V1ALPHA2["apiVersion"]),
    (pool_of(**V1ALPHA2), lambda it: "--pool-group=inference.networking.x-k8s.io" in it.args, True),
    (pool_of(**V1ALPHA2), lambda it: pool(it)["targetPortNumber"], 8000),
    (pool_of(**V1ALPHA2, targetPortNumber=8100), lambda it: pool(it)["targetPortNumber"], 8100),
    (pool_of(modelServerProtocol="grpc"), lambda it: pool(it)["appProtocol"], "kubernetes.io/h2c"),
    (
        {"inferenceExtension": {"failureMode": "FailClose"}},
        lambda it: pool(it)["endpointPickerRef"]["failureMode"],
        "FailClose",
    ),
    ({"inferenceExtension": {"extProcPort": 9102}}, lambda it: pool(it)["endpointPickerRef"]["port"]["number"], 9102),
    (route(), lambda it: it.the("HTTPRoute")["spec"]["parentRefs"], [{"name": "inference-gateway"}]),
    (route(inferenceGatewayName="g"), lambda it: it.the("HTTPRoute")["spec"]["parentRefs"], [{"name": "g"}]),
    (route(), lambda it: rule(it)["backendRefs"][0]["name"], "llm"),
    (route() | pool_of(**V1ALPHA2), lambda it: rule(it)["backendRefs"][0]["group"], "inference.networking.x-k8s.io"),
    (route(requestTimeout="1m30s"), lambda it: rule(it)["timeouts"], {"request": "1m30s"}),
    (route() | {"provider": {"name": "gke"}}, lambda it: "timeouts" in rule(it), False),
    (route(baseModel="llama"), lambda it: rule(it)["matches"][0]["headers"][0]["value"], "llama"),
    ({"inferenceObjectives": [OBJECTIVE]}, lambda it: it.the("InferenceObjective")["spec"]["priority"], -1),
    (
        {"inferenceObjectives": [OBJECTIVE], "inferenceObjectivesApiVersion": "llm-d.ai/v1alpha2"},
        lambda it: it.the("InferenceObjective")["apiVersion"],
        "llm-d.ai/v1alpha2",
    ),
    (istio(), lambda it: it.the("DestinationRule")["spec"]["host"], "llm-epp.models.svc.cluster.local"),
    (istio(), traffic_policy, {"tls": UNVERIFIED}),
    (istio(destinationRule={"host": "h"}), lambda it: it.the("DestinationRule")["spec"]["host"], "h"),
    (istio(destinationRule={"trafficPolicy": POLICY}), traffic_policy, {"tls": UNVERIFIED} | POLICY),
    (istio() | {"istio": {"destinationRule": {"trafficPolicy": POLICY}}}, traffic_policy, {"tls": UNVERIFIED} | POLICY),
    (
        istio() | {"istio": {"destinationRule": {"host": "h"}}},
        lambda it: it.the("DestinationRule")["spec"]["host"],
        "h",
    ),
    (
        istio() | {"inferenceExtension": {"flags": {"cert-path": "/tls"}}},
        traffic_policy,
        {"tls": {"mode": "SIMPLE"}},
    ),
    (
        istio() | {"inferenceExtension": {"flags": {"secure-serving": False}}},
        lambda it: it.all("DestinationRule"),
        [],
    ),
    ({"provider": {"name": "gke"}}, lambda it: it.the("GCPBackendPolicy")["spec"]["default"]["timeoutSec"], 300),
    (
        {"provider": {"name": "gke"}} | pool_of(modelServerProtocol="grpc"),
        lambda it: it.the("HealthCheckPolicy")["spec"]["default"]["config"]["type"],
        "GRPC",
    ),
    (
        {"provider": {"name": "gke"}, "inferenceExtension": {"monitoring": {"gke": {"enabled": True}}}},
        lambda it: (len(it.all("PodMonitoring")), len(it.all("ServiceMonitor"))),
        (1, 0),
    ),
    (
        {"provider": {"name": "gke", "gke": {"autopilot": True}}},
        lambda it: "provider.gke.autopilot has no effect" in it.notes,
        True,
    ),
    ({"gke": {"monitoringSecret": {"name": "s"}}}, lambda it: "gke.monitoringSecret has no effect" in it.notes, True),
]


@pytest.mark.parametrize(("values", "effect", "expected"), EFFECTS)
def test_value_has_its_effect(values: Json, effect: Callable[[Release], object], expected: object) -> None:
    assert effect(release("inferencepool", values)) == expected


@pytest.mark.parametrize(
    ("known", "version"),
    [
        pytest.param("llm-d.ai/v1alpha2/InferenceObjective", "llm-d.ai/v1alpha2", id="new"),
        pytest.param("v1", "inference.networking.x-k8s.io/v1alpha2", id="old"),
    ],
)
def test_objectives_are_of_the_group_that_the_picker_reads(tmp_path: Path, known: str, version: str) -> None:
    chart = tmp_path / "inferencepool"
    shutil.copytree(CHARTS / "inferencepool", chart)
    file = chart / "templates" / "_pool.tpl"
    # Helm without a cluster knows no kinds of custom resources.
    file.write_text(file.read_text().replace(".Capabilities.APIVersions", f'(list "{known}")'))
    values = merged(NEEDED["inferencepool"], {"inferenceObjectives": [OBJECTIVE]})
    texts = helm_python.Chart.load(chart).render(values, name="llm", namespace="models")
    (text,) = [text for path, text in texts.items() if path.endswith("inferenceobjectives.yaml")]
    assert next(yaml.safe_load_all(text))["apiVersion"] == version


def test_picker_is_started_for_the_pool_of_the_release() -> None:
    assert picker_args(rendered("inferencepool")) == [
        "--pool-name=llm",
        "--pool-namespace=models",
        "--pool-group=inference.networking.k8s.io",
        "--config-file=/config/default-plugins.yaml",
        "--bind-address=::",
        "--v=1",
    ]


@pytest.mark.parametrize(
    ("is_secure", "protocol"),
    [
        (True, "http2"),
        (False, "kubernetes.io/h2c"),
        ("1", "http2"),
        ("OFF", "kubernetes.io/h2c"),
        (0, "kubernetes.io/h2c"),
    ],
)
def test_service_says_what_the_ext_proc_port_speaks(*, is_secure: bool | str | int, protocol: str) -> None:
    installed = release("inferencepool", {"inferenceExtension": {"flags": {"secure-serving": is_secure}}})
    ports = {port["name"]: port for port in installed.the("Service")["spec"]["ports"]}
    assert ports["grpc-ext-proc"] == {
        "name": "grpc-ext-proc",
        "port": 9002,
        "targetPort": "grpc",
        "appProtocol": protocol,
    }
    assert ports["http-metrics"]["port"] == 9090


def documented_rights() -> set[tuple[str, str]]:
    """What ``docs/kubernetes.md`` says that the picker needs: resource and verb."""
    page = (CHARTS.parent / "docs" / "kubernetes.md").read_text()
    rows = re.findall(r"^\| (.*) \| ([\w, ]+) \| the namespace \|$", page, re.MULTILINE)
    resources = [re.findall(r"`([a-z]+)`", names) for names, _ in rows]
    return {
        (name, verb)
        for names, (_, verbs) in zip(resources, rows, strict=True)
        for name in names
        for verb in verbs.split(", ")
    }


def test_picker_has_the_rights_that_it_is_documented_to_need_and_no_other() -> None:
    rules = release("inferencepool", {"inferenceExtension": {"replicas": 2}}).the("Role")["rules"]
    given = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert given == documented_rights()
    assert {resource: rule["apiGroups"] for rule in rules for resource in rule["resources"]} == {
        "pods": [""],
        "inferencepools": ["inference.networking.k8s.io", "inference.networking.x-k8s.io"],
        "inferenceobjectives": ["llm-d.ai", "inference.networking.x-k8s.io"],
        "inferencemodelrewrites": ["llm-d.ai", "inference.networking.x-k8s.io"],
        "leases": ["coordination.k8s.io"],
    }


def test_envoyfilter_is_the_tested_one() -> None:
    installed = release(
        "inferencepool",
        istio(
            destinationRule={"host": "picker.llm.svc.cluster.local"},
            envoyFilter={"enabled": True, "routes": ["llm.llm-route.0"]},
        )
        | {"inferenceExtension": {"failureMode": "FailClose"}},
    )
    tested = Path(CHARTS.parent / "config" / "istio" / "envoyfilter-buffered.yaml").read_text()
    assert installed.the("EnvoyFilter")["spec"] == yaml.safe_load(tested)["spec"]


def test_envoyfilter_patches_the_route_of_the_chart_in_the_mode_that_is_asked_for() -> None:
    values = istio(envoyFilter={"enabled": True, "bodyMode": "FULL_DUPLEX_STREAMED", "bufferLimitBytes": 1}) | route()
    of_route, of_listener = release("inferencepool", values).the("EnvoyFilter")["spec"]["configPatches"]
    assert of_route["match"]["routeConfiguration"]["vhost"]["route"]["name"] == "models.llm.0"
    overrides = of_route["patch"]["value"]["typed_per_filter_config"]["envoy.filters.http.ext_proc"]["overrides"]
    assert overrides["failure_mode_allow"] is True
    assert overrides["processing_mode"]["request_body_mode"] == "FULL_DUPLEX_STREAMED"
    assert overrides["processing_mode"]["request_trailer_mode"] == "SEND"
    assert of_listener["patch"]["value"] == {"per_connection_buffer_limit_bytes": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(istio(envoyFilter={"enabled": True}), "needs routes", id="no route to patch"),
        pytest.param(pool_of(**V1ALPHA2, targetPorts=[{"number": 1}, {"number": 2}]), "has several ports", id="ports"),
        pytest.param(
            {"inferenceExtension": {"endpointsServer": {"targetPorts": "1"}}}, "chart `standalone`", id="other chart"
        ),
        pytest.param({"provider": {"name": "envoy"}}, "must be one of 'none', 'istio', 'gke'", id="provider"),
        pytest.param({"inferencePol": {}}, "additional properties 'inferencePol'", id="unknown"),
    ],
)
def test_values_that_cannot_work_are_refused(values: Json, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        release("inferencepool", values)


def test_labels_of_the_model_servers_are_required() -> None:
    with pytest.raises(HelmError, match=r"modelServers\.matchLabels is required"):
        release("inferencepool", needed=False)
