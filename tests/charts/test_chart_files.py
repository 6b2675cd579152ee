"""Charts as files: lint, package, versions, and pages."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.charts.rendering import CHARTS, NAMESPACE, NEEDED, RELEASE, loaded

ROOT = CHARTS.parent
WARNING = 2

charts = pytest.mark.parametrize("chart", NEEDED)
every_chart = pytest.mark.parametrize("chart", ["lib", *NEEDED])


@charts
def test_chart_has_nothing_that_the_linter_warns_of(chart: str) -> None:
    report = helm_python.lint(CHARTS / chart, dict(NEEDED[chart]), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= WARNING] == []


@charts
def test_package_renders_what_the_checkout_does(chart: str, tmp_path: Path) -> None:
    package = Path(loaded(chart).save(tmp_path))
    packaged = helm_python.Chart.load_archive(package.read_bytes())
    values = dict(NEEDED[chart])
    assert packaged.render(values, name=RELEASE, namespace=NAMESPACE) == loaded(chart).render(
        values, name=RELEASE, namespace=NAMESPACE
    )


@every_chart
def test_chart_has_the_version_of_the_picker(chart: str) -> None:
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert about["version"] == version
    assert about.get("appVersion", version) == version
    assert {dependency["version"] for dependency in about.get("dependencies", [])} <= {version}


@charts
def test_library_is_the_one_beside_the_chart(chart: str) -> None:
    assert (CHARTS / chart / "charts" / "lib").resolve() == CHARTS / "lib"


@every_chart
def test_every_value_is_documented(chart: str) -> None:
    documented = re.findall(r"^\| `([\w.]+)` \|", (CHARTS / chart / "README.md").read_text(), re.MULTILINE)
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    missing = [path for path in leaves(values) if not any(is_under(path, name) for name in documented)]
    assert missing == []


@every_chart
def test_every_documented_value_is_known_to_the_schema(chart: str) -> None:
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    for name in re.findall(r"^\| `([\w.]+)` \|", (CHARTS / chart / "README.md").read_text(), re.MULTILINE):
        part = schema
        if name.startswith("inferenceExtension.") and chart != "lib":
            part, name = json.loads((CHARTS / "lib" / "values.schema.json").read_text()), name.partition(".")[2]  # noqa: PLW2901
        for key in name.split("."):
            assert key in part["properties"], name
            part = part["properties"][key]


@every_chart
def test_every_value_has_a_comment(chart: str) -> None:
    """Directly above it, or above the first of a few that belong together."""
    is_explained = False
    for line in (CHARTS / chart / "values.yaml").read_text().splitlines():
        if not line.strip():
            is_explained = False
        elif "#" in line:
            is_explained = True
        elif not line.endswith(":"):
            assert is_explained, line


@every_chart
def test_links_of_its_page_lead_somewhere(chart: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (CHARTS / chart / "README.md").read_text())
    assert [link for link in links if not (CHARTS / chart / link).exists()] == []


def leaves(values: Any) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from (f"{key}.{path}" for path in leaves(value))
        else:
            yield key


def is_under(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")
