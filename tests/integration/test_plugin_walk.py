"""The walk in `docs/plugins.md`, followed step by step in a folder of its own."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
WALK = PAGE.partition("## From an empty folder")[2].partition("\n## ")[0]
WITHOUT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
"""
DECIDE = """
import json, random, sys
from prometheus_client import CollectorRegistry
from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.observability import Metrics
from epp.plugin.testing import make_context, make_endpoint, make_request

surroundings = Surroundings(
    metrics=Metrics(CollectorRegistry()), log=make_context().log, random=random.Random(0), clock=lambda: 0.0
)
pool = [make_endpoint("new", labels={"canary": "1"}), make_endpoint("old", port=8001, waiting=2)]
decision = assemble_text(sys.stdin.read(), surroundings).scheduler.schedule(make_request(), pool)
print(json.dumps([decision.primary.name, decision.results["default"].table()]))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)


def files() -> Iterator[tuple[str, str]]:
    """Yield the files that the walk writes: blocks whose first line is a comment with the name."""
    for block in [*blocks("python"), *blocks("toml"), *blocks("yaml")]:
        named = re.match(r"# ([\w.]+)\n", block)
        assert named is not None, block
        yield named[1], block


def commands() -> list[tuple[str, str]]:
    """Return what is typed in the walk, each with what is shown below it."""
    typed = [one for block in blocks("console") for one in re.split(r"^\$ ", block, flags=re.MULTILINE) if one]
    return [(command, output) for command, _, output in (one.partition("\n") for one in typed)]


def install(folder: Path) -> None:
    """Leave beside the module what pip would: what it is called, and its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    installed = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    metadata = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    (installed / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in metadata.items()))
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["epp.plugins"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[epp.plugins]", *lines]))


def run(folder: Path, arguments: Sequence[str], *, stdin: str = "") -> str:
    """Run Python in the folder, with what is installed there, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT, ROOT / "plugins")))}
    done = subprocess.run(  # noqa: S603 - this interpreter, and arguments of this file or the page
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def decision(folder: Path, config: str) -> tuple[str, list[dict[str, Any]]]:
    primary, table = json.loads(run(folder, ["-c", DECIDE], stdin=config))
    return primary, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walk's folder, with all of its files, installed."""
    path = tmp_path_factory.mktemp("walk")
    for name, text in files():
        (path / name).write_text(text)
    install(path)
    return path


def test_walk_writes_a_complete_distribution() -> None:
    names = [name for name, _ in files()]
    assert names == ["canary_scorer.py", "test_canary_scorer.py", "pyproject.toml", "config.yaml"]


def test_plugins_own_test_passes(folder: Path) -> None:
    assert "python -m pytest" in [command for command, _ in commands()]
    assert "1 passed" in run(folder, ["-m", "pytest", "-p", "no:cacheprovider", "."])


@pytest.mark.parametrize(
    ("command", "output"), [pytest.param(*one, id=one[0]) for one in commands() if one[0].startswith("epp ")]
)
def test_command_prints_what_the_walk_shows(folder: Path, command: str, output: str) -> None:
    assert run(folder, ["-m", *command.split()]) == output


def test_walk_checks_the_configuration_and_shows_the_plugin() -> None:
    assert {"epp check-config config.yaml", "epp plugins canary-scorer"} <= {command for command, _ in commands()}


def test_decision_changes_as_the_walk_says(folder: Path) -> None:
    (shown,) = blocks("json")
    assert decision(folder, WITHOUT)[0] == "new"
    assert decision(folder, (folder / "config.yaml").read_text()) == ("old", json.loads(shown))
