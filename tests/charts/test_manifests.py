"""What the charts make is what a cluster takes."""

import jsonschema
import pytest

from tests.charts.cases import CASES
from tests.charts.guide import MANIFESTS
from tests.charts.rendering import NAMESPACE, Release, release
from tests.charts.schemas import CRDS, NEWEST, is_custom, schemas, validate

OLDEST = {"inferencepool": "1.29", "standalone": "1.30"}

cases = pytest.mark.parametrize("case", CASES)


def release_of(case: str) -> Release:
    chart, values = CASES[case]
    everything = {"inferenceExtension": {"monitoring": {"dashboard": {"enabled": True}}}}
    return release(chart, everything | values)


@cases
@pytest.mark.parametrize("version", ["oldest", NEWEST])
def test_built_in_resources_follow_the_schemas_of_kubernetes(case: str, version: str) -> None:
    manifests = [manifest for manifest in release_of(case).manifests if not is_custom(manifest)]
    assert manifests
    for manifest in manifests:
        validate(manifest, OLDEST[CASES[case][0]] if version == "oldest" else version)


@cases
def test_custom_resources_follow_their_schemas(case: str) -> None:
    for manifest in filter(is_custom, release_of(case).manifests):
        assert "spec" in manifest
        validate(manifest)


def test_every_schema_of_a_custom_resource_is_used() -> None:
    rendered = [one for case in CASES for one in release_of(case).manifests]
    made = {(one["apiVersion"], one["kind"]) for one in [*rendered, *MANIFESTS.values()]}
    written = {
        (f"{file.stem}/{version}", kind)
        for file in CRDS.glob("*.yaml")
        for version, kinds in schemas(file.stem).items()
        for kind in kinds
    }
    assert written <= made


def test_a_schema_refuses_what_it_does_not_know() -> None:
    with pytest.raises(jsonschema.ValidationError, match="portNumber"):
        jsonschema.validate(
            {"selector": {"matchLabels": {"app": "vllm"}}, "targetPorts": [{"portNumber": 8000}]},
            schemas("inference.networking.k8s.io")["v1"]["InferencePool"],
        )


@cases
def test_no_two_resources_have_one_name_and_all_are_in_the_namespace(case: str) -> None:
    manifests = release_of(case).manifests
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names))
    assert {one["metadata"]["namespace"] for one in manifests} == {NAMESPACE}


@cases
def test_pods_follow_the_restricted_security_standard(case: str) -> None:
    pod = release_of(case).pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"].keys() == {"memory"}


@cases
def test_what_is_selected_has_the_labels(case: str) -> None:
    installed = release_of(case)
    labels = installed.the("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [installed.the("Service")["spec"]["selector"]]
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitoring", "ServiceMonitor"):
        selectors += [one["spec"]["selector"]["matchLabels"] for one in installed.all(kind)]
    for selector in selectors:
        assert selector.items() <= labels.items()


@cases
def test_ports_of_the_service_are_ports_of_the_pod(case: str) -> None:
    installed = release_of(case)
    of_pod = {port["name"] for container in installed.pod["containers"] for port in container["ports"]}
    assert {port["targetPort"] for port in installed.the("Service")["spec"]["ports"]} <= of_pod
