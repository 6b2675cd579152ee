"""What the Kubernetes guide shows is what a cluster, the charts and the command line take."""

import json
import re
import tomllib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml

from epp.cli import main, serve
from epp.extproc import headers
from epp.flags import IGNORED
from epp.settings import Settings
from tests.charts.guide import (
    COMMANDS,
    FILES,
    HELM_COMMANDS,
    MADE_BY_COMMANDS,
    MANIFESTS,
    PAGES,
    ROOT,
    TEXT,
    VALUES,
    HelmCommand,
    blocks,
    of,
)
from tests.charts.rendering import CHARTS, NAMESPACE, Json, Release, release
from tests.charts.schemas import NEWEST, validate

OURS = [command for command in HELM_COMMANDS if command.is_ours]
OF_OTHERS = {"oci://ghcr.io/llm-d/charts/payload-processor", "kuadrant/kuadrant-operator"}
FLAGS_OF_OTHERS = {"--wait", "--model", "--served-model-name"}
HEADERS_OF_OTHERS = {"x-gateway-base-model-name"}
"""Set by the payload processor, for the gateway."""
OF_THE_OLD_PICKERS = {"inference_extension_", "inference_pool_", "llm_d_epp_"}

ours = pytest.mark.parametrize("command", [pytest.param(one, id=f"{one.release} {one.files}") for one in OURS])


def installed_by(command: HelmCommand) -> Release:
    return release(command.chart_name, command.values, needed=False, name=command.release)


@cache
def installed() -> Sequence[Json]:
    return [manifest for command in OURS for manifest in installed_by(command).manifests]


def names(kind: str) -> set[str]:
    """The objects of a kind that the pages make, by themselves, by a chart, or as Istio does for a Gateway."""
    made = {one["metadata"]["name"] for one in [*MANIFESTS.values(), *installed()] if one["kind"] == kind}
    return made | ({f"{name}-istio" for name in names("Gateway")} if kind == "Service" else set())


def test_no_two_blocks_are_one_file() -> None:
    assert len(FILES) == len(blocks("yaml")) > 10


@pytest.mark.parametrize("place", MANIFESTS)
@pytest.mark.parametrize("version", ["1.30", NEWEST])
def test_manifest_is_what_a_cluster_takes(place: str, version: str) -> None:
    validate(MANIFESTS[place], version)
    assert MANIFESTS[place]["metadata"]["namespace"] in {NAMESPACE, "kuadrant-system"}


@ours
def test_helm_command_makes_what_a_cluster_takes(command: HelmCommand) -> None:
    made = installed_by(command)
    for manifest in made.manifests:
        validate(manifest)
    assert serve.make_context("serve", list(made.args)).params


@ours
def test_release_is_for_servers_that_the_pages_have(command: HelmCommand) -> None:
    """By their labels, and on a port that they have."""
    args = dict(arg.lstrip("-").partition("=")[::2] for arg in installed_by(command).args)
    pools = installed_by(command).all("InferencePool")
    if pools:
        labels = pools[0]["spec"]["selector"]["matchLabels"]
        ports = {one["number"] for one in pools[0]["spec"]["targetPorts"]}
    else:
        labels = dict([args["endpoint-selector"].split("=")])
        ports = {int(args["endpoint-target-ports"])}
    templates = [one["spec"]["template"] for one in MANIFESTS.values() if one["kind"] == "Deployment"]
    (servers,) = [one for one in templates if labels.items() <= one["metadata"]["labels"].items()]
    (container,) = servers["spec"]["containers"]
    assert {port["containerPort"] for port in container["ports"]} == ports


def test_every_file_of_values_is_used_by_a_command() -> None:
    assert {file for command in OURS for file in command.files} == VALUES.keys()


def test_charts_of_others_are_the_known_ones() -> None:
    assert {command.chart for command in HELM_COMMANDS if not command.is_ours} == OF_OTHERS


def test_notes_of_the_old_values_name_what_has_no_effect() -> None:
    (new, *_) = [command for command in OURS if command.release == "llm-new"]
    assert "prometheus.auth has no effect" in installed_by(new).notes
    assert installed_by(new).picker["image"] == "endpoint-picker:0.1.0"


@pytest.mark.parametrize("words", of("epp"), ids=" ".join)
def test_epp_command_is_one(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (word for word in words if word.endswith((".yaml", ".json"))):
        assert file in {*FILES, *MADE_BY_COMMANDS, "request.json"}
        Path(file).touch()
    name, *args = words
    command = main.commands[name]
    assert isinstance(command, click.Command)
    assert command.make_context(name, list(args)).params


@pytest.mark.parametrize("place", [place for place, one in MANIFESTS.items() if one["kind"] == "Deployment"])
def test_simulated_servers_start_as_the_pages_have_them(place: str) -> None:
    (container,) = MANIFESTS[place]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["epp", "simulate"]
    given = main.commands["simulate"].make_context("simulate", list(container["args"])).params
    assert list(given["port"]) == [port["containerPort"] for port in container["ports"]]
    assert given["host"] == "0.0.0.0"  # noqa: S104 - the pod's
    assert container["image"] == installed_by(OURS[0]).picker["image"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"


def test_image_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"endpoint-picker:([\w.]+)", TEXT)) == {version}
    assert {command.values.get("inferenceExtension", {}).get("image", {}).get("tag") for command in OURS} <= {
        None,
        version,
    }


def test_files_that_commands_read_are_shown_or_written() -> None:
    for words in of("kubectl"):
        for file in (after for word, after in pairwise(words) if word == "-f"):
            assert file in FILES, words


def test_kubectl_commands_name_what_is_there() -> None:
    kinds = {
        "deploy": "Deployment",
        "svc": "Service",
        "configmap": "ConfigMap",
        "gateway": "Gateway",
        "httproute": "HTTPRoute",
        "inferencepool": "InferencePool",
        "inferencemodelrewrite": "InferenceModelRewrite",
    }
    shown = [*(" ".join(words) for words in COMMANDS), *re.findall(r"`(kubectl [^`]*)`", TEXT)]
    named = [pair for line in shown for pair in re.findall(rf"\b({'|'.join(kinds)})[/ ]([a-z][a-z-]+)", line)]
    assert len(named) > 10
    for kind, name in named:
        assert name in names(kinds[kind]), f"{kind} {name}"


def test_lease_is_the_one_of_the_pool() -> None:
    assert set(re.findall(r"epp-[\w-]+\.llm-d\.ai", TEXT)) == {f"epp-{NAMESPACE}-llm.llm-d.ai"}


def test_references_lead_to_what_is_there() -> None:
    for place, one in MANIFESTS.items():
        spec = one.get("spec", {})
        rules = spec.get("rules", []) if one["kind"] == "HTTPRoute" else []
        targets = [spec[key] for key in ("targetRef", "poolRef") if key in spec]
        targets += [{"kind": "Gateway", **parent} for parent in spec.get("parentRefs", [])]
        targets += [backend for rule in rules for backend in rule["backendRefs"]]
        for target in targets:
            assert target["name"] in names(target["kind"]), place


def test_every_flag_is_one() -> None:
    options = {name for command in main.commands.values() for option in command.params for name in option.opts}
    shown = set(re.findall(r"`(--[a-z][\w-]+)", TEXT))
    assert shown <= options | FLAGS_OF_OTHERS
    flags = {flag for values in VALUES.values() for flag in values.get("inferenceExtension", {}).get("flags", {})}
    flags |= {flag for line in re.findall(r"`flags: \{([^}]*)\}", TEXT) for flag in re.findall(r"([\w-]+):", line)}
    assert flags <= {name.replace("_", "-") for name in Settings.__struct_fields__} | IGNORED.keys()
    assert "endpoint-response-header" in flags


def test_every_metric_is_documented() -> None:
    documented = re.findall(r"^\| `(epp_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    shown = set(re.findall(r"\bepp_[a-z_]*[a-z_]", TEXT)) - OF_THE_OLD_PICKERS
    assert len(shown) > 5
    for name in shown:
        assert name in documented or (name.endswith("_") and any(one.startswith(name) for one in documented)), name


def test_every_header_is_known() -> None:
    source = Path(headers.__file__).read_text() + (ROOT / "docs" / "configuration.md").read_text()
    shown = {name.lower().rstrip("-") for name in re.findall(r"\b[xX]-[\w-]+", TEXT)}
    unknown = {name for name in shown if name not in source} - {"x-gateway", "x-llm-d"}
    assert unknown == HEADERS_OF_OTHERS
    assert "X-Gateway-Base-Model-Name" in (CHARTS / "inferencepool" / "templates" / "httproute.yaml").read_text()


def test_values_in_the_table_of_names_exist() -> None:
    values = yaml.safe_load((CHARTS / "inferencepool" / "values.yaml").read_text())
    values["inferenceExtension"] = yaml.safe_load((CHARTS / "lib" / "values.yaml").read_text())
    page = next(page for page in PAGES if "migration" in page.name).read_text()
    rows = re.findall(r"^\| (`(?:router|httpRoute|provider)[^|]*) \| ([^|]*) \|$", page, re.MULTILINE)
    assert len(rows) > 8
    for _, cell in rows:
        above = ""
        for name in re.findall(r"`([\w.]+)(?:: [^`]*)?`", cell):
            path = above + name if name.startswith(".") else name
            above = path.rpartition(".")[0]
            found = values
            for key in path.split("."):
                assert key in found, path
                found = found[key]


def test_requests_are_json() -> None:
    bodies = [after for words in of("curl") for word, after in pairwise(words) if word == "-d"]
    bodies += blocks("json")
    assert len(bodies) > 5
    for body in bodies:
        assert json.loads(body)["model"] in {"tiny", "small"}


def test_pages_are_linked_with_the_reference_and_from_the_readme() -> None:
    reference = (ROOT / "docs" / "kubernetes.md").read_text()
    for page in PAGES:
        assert f"({page.name})" in reference
    assert "(docs/kubernetes-guide.md)" in (ROOT / "README.md").read_text()
