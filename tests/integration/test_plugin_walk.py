"""The walk in `docs/plugins.md`, followed step by step in a folder of its own."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
WALK = PAGE.partition("## From an empty folder")[2].partition("\n## ")[0]
GETS = PAGE.partition("## What a plugin gets")[2].partition("\n## ")[0]
WITHOUT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
"""
RESTING = """apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: resting-scorer
    parameters: {pause: soon}
"""


def blocks(language: str, *, text: str = WALK) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def files() -> Iterator[tuple[str, str]]:
    """Yield the files that the walk writes: the name is a comment on the first line, or before a block of JSON."""
    for block in [*blocks("python"), *blocks("toml"), *blocks("yaml")]:
        yield named(block)
    yield from re.findall(r"`(\w+\.json)`:\n\n```json\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)


def named(block: str) -> tuple[str, str]:
    name = re.match(r"# ([\w.]+)\n", block)
    assert name is not None, block
    return name[1], block


def commands() -> list[tuple[str, str]]:
    """Return what is typed in the walk, each with what is shown below it."""
    typed = [one for block in blocks("console") for one in re.split(r"^\$ ", block, flags=re.MULTILINE) if one]
    return [(command, output) for command, _, output in (one.partition("\n") for one in typed)]


def install(folder: Path, project: Mapping[str, Any]) -> None:
    """Leave beside the module what pip would: what it is called, and its entry points."""
    installed = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    metadata = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    (installed / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in metadata.items()))
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["epp.plugins"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[epp.plugins]", *lines]))


def run(folder: Path, arguments: Sequence[str], *, code: int = 0) -> str:
    """Run Python in the folder, with what is installed there, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT, ROOT / "plugins")))}  # noqa: TID251 - for a child
    done = subprocess.run(  # noqa: S603 - this interpreter, and arguments of this file or the page
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walk's folder, with all of its files, installed."""
    path = tmp_path_factory.mktemp("walk")
    for name, text in files():
        (path / name).write_text(text)
    install(path, tomllib.loads((path / "pyproject.toml").read_text())["project"])
    return path


def test_walk_writes_a_complete_distribution() -> None:
    modules = ["canary_scorer.py", "test_canary_scorer.py"]
    assert [name for name, _ in files()] == [*modules, "pyproject.toml", "config.yaml", "pool.json", "request.json"]


def test_plugins_own_test_passes(folder: Path) -> None:
    assert "python -m pytest" in [command for command, _ in commands()]
    assert "1 passed" in run(folder, ["-m", "pytest", "-p", "no:cacheprovider", "."])


@pytest.mark.parametrize(
    ("command", "output"), [pytest.param(*one, id=one[0]) for one in commands() if one[0].startswith("epp ")]
)
def test_command_prints_what_the_walk_shows(folder: Path, command: str, output: str) -> None:
    assert run(folder, ["-m", *command.split()]) == output


def test_walk_checks_the_configuration_shows_the_plugin_and_a_decision() -> None:
    typed = {command for command, _ in commands()}
    assert {"epp check-config config.yaml", "epp plugins canary-scorer"} <= typed
    assert "epp explain request.json --snapshot pool.json --config-file config.yaml" in typed


def test_decision_changes_as_the_walk_says(folder: Path) -> None:
    (folder / "without.yaml").write_text(WITHOUT)
    question = ["-m", "epp", "explain", "request.json", "--snapshot", "pool.json", "--config-file"]
    assert "profile default: default/new" in run(folder, [*question, "without.yaml"])
    assert "profile default: default/old" in run(folder, [*question, "config.yaml"])


def test_plugin_that_checks_its_parameters_is_complete_and_refuses_as_shown(tmp_path: Path) -> None:
    (block,) = blocks("python", text=GETS)
    name, text = named(block)
    (tmp_path / name).write_text(text)
    (tmp_path / "resting.yaml").write_text(RESTING)
    entry_points = {"epp.plugins": {"resting-scorer": "resting_scorer:RestingScorer"}}
    install(tmp_path, {"name": "resting-scorer", "version": "0.1.0", "entry-points": entry_points})
    (shown,) = blocks("console", text=GETS)
    command, _, output = shown.removeprefix("$ ").partition("\n")
    assert run(tmp_path, ["-m", *command.split()], code=1) == output
    (tmp_path / "resting.yaml").write_text(RESTING.replace("soon", "1s"))
    assert "resting-scorer x 1" in run(tmp_path, ["-m", *command.split()])
