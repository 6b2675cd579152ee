"""The dashboard shows metrics that exist."""

import json
import re
from typing import Any

from tests.charts.rendering import CHARTS, release

DOCUMENTED = set(re.findall(r"^\| `(epp_\w+)` \|", (CHARTS.parent / "docs" / "metrics.md").read_text(), re.MULTILINE))
OF_THE_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def dashboard() -> dict[str, Any]:
    installed = release("inferencepool", {"inferenceExtension": {"monitoring": {"dashboard": {"enabled": True}}}})
    config_map = installed.the("ConfigMap", "llm-epp-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    document: dict[str, Any] = json.loads(config_map["data"]["endpoint-picker.json"])
    return document


def queries() -> list[str]:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_of_the_dashboard_is_documented() -> None:
    named = {name for query in queries() for name in re.findall(r"\b(?:epp|process)_\w+", query)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert families <= DOCUMENTED | OF_THE_PROCESS
    assert len(families) > 20


def test_variables_ask_for_a_documented_metric() -> None:
    named = set(re.findall(r"epp_\w+", json.dumps(dashboard()["templating"])))
    assert named
    assert named <= DOCUMENTED


def test_labels_by_which_panels_sum_are_those_of_the_metric() -> None:
    rows = dict(
        re.findall(
            r"^\| `(epp_\w+)` \| \w+ \| ([^|]*)\|", (CHARTS.parent / "docs" / "metrics.md").read_text(), re.MULTILINE
        )
    )
    for query in queries():
        for labels, metric in re.findall(r"by \(([\w, ]+)\) \((?:rate\(|increase\()?(epp_\w+?)(?:_bucket)?\{", query):
            assert set(labels.split(", ")) <= set(re.findall(r"`(\w+)`", rows[metric])) | {"le", "pod"}, query


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
