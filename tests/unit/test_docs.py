"""What the documentation names exists, and what exists is documented."""

import ast
import builtins
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics_core import Metric

import epp.plugin
from epp.catalogue import plugin_types
from epp.config import DEFAULT_CONFIG, check, read_config
from epp.demo.envoy import BodyMode, Listener, envoy_config
from epp.plugin import Response, Usage
from epp.plugin.testing import make_endpoint
from epp.registry import Registry
from epp.settings import Settings
from epp.workshop import Role
from tests.fakes.picker import PoolOf, assembly_of

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name != "endpoints.yaml")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])


def first_column(page: str) -> list[str]:
    """Return the names in backticks that start the rows of a page's tables."""
    return re.findall(r"^\| `([^`]+)` \|", (ROOT / page).read_text(), re.MULTILINE)


def defined_in(file: Path) -> set[str]:
    """Return the functions of a module, and the methods of its classes as ``Class.method``."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, functions):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{child.name}" for child in node.body if isinstance(child, functions)}
    return names


HOPS = re.findall(r"`([\w/]+\.py) : ([\w.]+)`", (ROOT / "docs" / "architecture.md").read_text())


@pytest.mark.parametrize(("file", "function"), HOPS)
def test_architecture_names_functions_that_exist(file: str, function: str) -> None:
    assert function in defined_in(ROOT / file)


def test_architecture_has_the_eight_hops() -> None:
    assert len(re.findall(r"^\| \d \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)) == 8


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other() -> None:
    assembly, metrics = assembly_of((ROOT / "config" / "precise.yaml").read_text())
    metrics.watch_pool(PoolOf(make_endpoint(), age_s=1.0, missing=["m"]))
    endpoint = make_endpoint()
    assembly.observers.on_scraped(endpoint)
    metrics.request_received("m")
    metrics.request_rejected(400, "rejected-bad-request")
    metrics.request_routed(endpoint, 0.1, 0.5)
    metrics.scrape_failed(endpoint, "timeout")
    metrics.plugin_failed("p", "score")
    metrics.stream_closed("none", "none")
    metrics.endpoint_answered_error(endpoint, 500)
    metrics.model_rewrite_asked(is_possible=True)
    metrics.config_reloaded(result="applied")
    metrics.kube_failed("pods", 403)
    metrics.shadow_compared("agrees")
    metrics.shadow_picked("live", endpoint, 1, 1)
    metrics.request_ended(Response(usage=Usage()))
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, labels_of(family))
        for family in metrics.registry.collect()
    }
    rows = re.findall(
        r"^\| `(epp_\w+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    assert {name: (kind, sorted(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows} == exported


def labels_of(family: Metric) -> list[str]:
    return sorted({label for sample in family.samples for label in sample.labels} - {"le"})


def test_every_flag_is_documented_and_no_other() -> None:
    flags = [f"--{name.replace('_', '-')}" for name in Settings.__struct_fields__]
    assert first_column("docs/configuration.md") == flags


def test_every_plugin_type_is_documented_and_no_other() -> None:
    own = {entry.name for entry in entry_points(group="epp.plugins") if entry.value.startswith("epp")}
    page = (ROOT / "plugins" / "README.md").read_text()
    table = re.findall(r"^\| `([a-z-]+)` \|", page.partition("\n### ")[0], re.MULTILINE)
    assert table == sorted(own)


def test_every_plugin_type_is_what_its_page_says() -> None:
    page = (ROOT / "plugins" / "README.md").read_text().partition("\n### ")[0]
    roles = {one.type: one.roles for one in plugin_types(Registry.installed())}
    for name, said in re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", page, re.MULTILINE):
        assert set(said.split(", ")) <= set(roles[name]) if roles[name] else said == "nothing", name


def test_page_about_plugins_has_every_extension_point_and_names_nothing_that_is_not_there() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    for member in ["connect", *(member for role in Role for member in role.members)]:
        assert re.search(rf"`(\w+\.)?{member}\b", page), member
    sections = page.partition("## What a plugin gets")[2]
    for owner, member in re.findall(r"`([A-Z]\w+)\.(\w+)\b", sections):
        assert hasattr(getattr(epp.plugin, owner), member), f"{owner}.{member}"
    assert set(re.findall(r"`([A-Z][a-z]\w+)`", sections)) <= {*epp.plugin.__all__, *vars(builtins)}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.name))
def test_sample_configuration_loads(file: Path) -> None:
    config, problems = read_config(file.read_text())
    assert check(config, problems) == []
    assert assembly_of(file.read_text())[0].profiles


def test_written_out_default_is_the_default() -> None:
    config, problems = read_config((ROOT / "config" / "default.yaml").read_text())
    assert problems == []
    assert config == DEFAULT_CONFIG


@pytest.mark.parametrize("mode", list(BodyMode))
def test_sample_envoy_configuration_is_the_demos(mode: BodyMode) -> None:
    sample = yaml.safe_load((ROOT / "config" / "envoy" / f"{mode.value}.yaml").read_text())
    assert sample == envoy_config([Listener(port=8080, request_body=mode)], picker_ports=[9002])


def test_sample_envoy_configuration_for_two_pickers_checks_their_health() -> None:
    sample = yaml.safe_load((ROOT / "config" / "envoy" / "two-pickers.yaml").read_text())
    assert sample == envoy_config([Listener(port=8080)], picker_ports=[9002, 9012])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def configurations_in_pages() -> list[tuple[str, str]]:
    blocks = [
        (str(page.relative_to(ROOT)), block)
        for page in PAGES
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    # The walk through a plugin installs its own: `tests/integration/test_plugin_walk.py`. What is broken on purpose is
    # looked at in `test_configuration_page.py`.
    return [
        (page, block)
        for page, block in blocks
        if "EndpointPickerConfig" in block and "canary-scorer" not in block and not block.startswith("# broken.yaml\n")
    ]


def test_pages_show_a_configuration() -> None:
    assert configurations_in_pages()


@pytest.mark.parametrize(("page", "text"), configurations_in_pages())
def test_configuration_in_a_page_can_be_assembled(page: str, text: str) -> None:
    assert assembly_of(text)[0].profiles, page


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z0-9-]+)", page.read_text()))
        assert named <= targets, page
