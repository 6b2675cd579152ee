"""Each folder in `plugins/examples` is a distribution that is checked like the rest, and uses the public API only."""

import ast
import textwrap
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from epp.catalogue import roles_of
from tests.fakes.picker import assembly_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in ROOT.glob("plugins/examples/*/pyproject.toml"))
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.name))


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def imported_by(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_every_folder_is_an_example() -> None:
    folders = {path.name for path in (ROOT / "plugins" / "examples").iterdir() if path.is_dir()}
    assert {example.name for example in EXAMPLES} == {name for name in folders if not name.startswith((".", "__"))}


@each_example
def test_example_is_installed_with_the_types_that_it_names(example: Path) -> None:
    types = project(example)["project"]["entry-points"]["epp.plugins"]
    installed = {entry.name: entry for entry in entry_points(group="epp.plugins")}
    assert {name: installed[name].value for name in types} == types
    assert all(roles_of(installed[name].load()) for name in types)


@each_example
def test_example_imports_nothing_of_the_picker_but_its_public_api(example: Path) -> None:
    own = {name for file in example.glob("*.py") for name in imported_by(file) if name.split(".")[0] == "epp"}
    assert own <= {"epp.plugin", "epp.plugin.testing"}


@each_example
def test_example_is_linted_and_typed_and_documented(example: Path) -> None:
    tools = project(ROOT)["tool"]
    assert example.name in tools["ruff"]["lint"]["isort"]["known-first-party"]
    assert f"plugins/examples/{example.name}" in tools["mypy"]["mypy_path"]
    assert f"(examples/{example.name})" in (ROOT / "plugins" / "README.md").read_text()
    assert (example / f"test_{example.name}.py").exists()


@each_example
def test_configuration_that_an_example_shows_can_be_assembled(example: Path) -> None:
    tour = ast.get_docstring(ast.parse((example / f"{example.name}.py").read_text())) or ""
    shown = textwrap.dedent(tour.partition("In the configuration::\n")[2])
    assert assembly_of(f"apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n{shown}")[0].profiles
