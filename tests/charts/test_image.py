"""The image fits the charts: what it starts, as whom, on which ports."""

import json
import re
import tomllib

import pytest

from epp.cli import serve
from epp.settings import Settings
from tests.charts.cases import CASES
from tests.charts.rendering import CHARTS, NEEDED, release

ROOT = CHARTS.parent
Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, its ``FROM`` first."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: list[list[Instruction]] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def only(instruction: str) -> str:
    """What the last stage says with an instruction."""
    (rest,) = [rest for word, rest in stages()[-1] if word == instruction]
    return rest


def copied() -> list[str]:
    copies = [rest.split()[:-1] for word, rest in stages()[0] if word == "COPY"]
    return [source for sources in copies for source in sources]


def test_environment_is_made_and_used_with_the_same_python() -> None:
    builder, final = (stage[0][1].split() for stage in stages())
    assert builder == [*final, "AS", "builder"]
    assert ("COPY", "--from=builder /venv /venv") in stages()[-1]


def test_python_is_one_that_the_picker_runs_on() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert only("FROM") == f"python:{required.removeprefix('>=')}-slim"


@pytest.mark.parametrize("chart", NEEDED)
def test_user_is_the_one_of_the_pod(chart: str) -> None:
    context = release(chart).pod["securityContext"]
    assert only("USER") == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_ports_are_the_default_ones() -> None:
    settings = Settings()
    ports = {settings.grpc_port, settings.grpc_health_port, settings.metrics_port}
    assert {int(port) for port in only("EXPOSE").split()} == ports


@pytest.mark.parametrize("case", CASES)
def test_entrypoint_takes_the_arguments_of_the_charts(case: str) -> None:
    assert json.loads(only("ENTRYPOINT")) == ["epp", "serve"]
    chart, values = CASES[case]
    installed = release(chart, values)
    assert "command" not in installed.picker
    given = serve.make_context("serve", list(installed.args)).params
    assert (given["pool_name"] is None) != (given["endpoint_selector"] is None)
    assert given["config_file"].startswith("/config/")
    assert given["ha_enable_leader_election"] is (case == "inferencepool-leader")


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == kept
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_what_the_wheel_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sources = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *sources}
    assert needed <= set(copied())


def test_extras_that_are_installed_exist_and_have_what_a_cluster_needs() -> None:
    (extras,) = re.findall(r"\[([\w,-]+)\]\"", (ROOT / "Dockerfile").read_text().replace('["epp"', ""))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"kubernetes"} <= set(extras.split(",")) <= known.keys()
