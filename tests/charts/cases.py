"""Renders that stand for what people install: kept in ``golden/`` and checked against the API's schemas."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.charts.rendering import Json, release

GOLDEN = Path(__file__).parent / "golden"
CASES: Mapping[str, tuple[str, Json]] = {
    "inferencepool": ("inferencepool", {}),
    "inferencepool-istio": (
        "inferencepool",
        {
            "provider": {"name": "istio", "istio": {"envoyFilter": {"enabled": True}}},
            "experimentalHttpRoute": {"enabled": True, "baseModel": "llama"},
            "inferenceObjectives": [{"name": "critical", "priority": 10}, {"name": "batch", "priority": -1}],
        },
    ),
    "inferencepool-gke": (
        "inferencepool",
        {
            "provider": {"name": "gke"},
            "experimentalHttpRoute": {"enabled": True},
            "inferencePool": {"targetPorts": [{"number": 8000}, {"number": 8001}], "modelServerType": "sglang"},
            "inferenceExtension": {"monitoring": {"prometheus": {"enabled": True}}},
        },
    ),
    "inferencepool-leader": (
        "inferencepool",
        {"inferenceExtension": {"replicas": 2, "monitoring": {"prometheus": {"enabled": True}}}},
    ),
    "inferencepool-active": (
        "inferencepool",
        {"inferenceExtension": {"replicas": 2, "flags": {"ha-enable-leader-election": False}}},
    ),
    "inferencepool-v1alpha2-grpc": (
        "inferencepool",
        {
            "inferencePool": {
                "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
                "targetPortNumber": 50051,
                "modelServerProtocol": "grpc",
            },
            "inferenceObjectives": [{"name": "critical", "priority": 10}],
            "inferenceObjectivesApiVersion": "llm-d.ai/v1alpha2",
        },
    ),
    "standalone": ("standalone", {}),
    "standalone-latency": ("standalone", {"inferenceExtension": {"latencyPredictor": {"enabled": True}}}),
}


def golden_text(name: str) -> str:
    """Return a case as its file has it."""
    chart, values = CASES[name]
    manifests = release(chart, values).manifests
    return f"# Written by `make charts-golden`.\n{yaml.safe_dump_all(manifests, width=120, sort_keys=False)}"


def write_golden(directory: Path) -> None:
    """Write the file of every case, and remove those of cases that are gone."""
    for file in directory.glob("*.yaml"):
        file.unlink()
    for name in CASES:
        (directory / f"{name}.yaml").write_text(golden_text(name))


if __name__ == "__main__":
    write_golden(GOLDEN)
