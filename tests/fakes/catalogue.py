"""Plugins of the catalogue, built as a configuration builds them."""

from collections.abc import Sequence
from typing import Any

import yaml

from epp.assembled import Assembly
from epp.plugin import Endpoint, InferenceRequest
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import Registry
from tests.fakes.picker import assembly_of

HEAD = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
REQUIRED: dict[str, dict[str, Any]] = {
    "file-discovery": {"path": "endpoints.yaml"},
    "header-label-affinity-scorer": {"headerName": "x-zone", "labelKey": "zone"},
    "endpoint-attribute-scorer": {
        "attributeKey": "WaitingQueueSize",
        "algorithm": {"type": "linear_lower_is_better"},
    },
    "endpoint-attribute-filter": {
        "attribute": "WaitingQueueSize",
        "algorithm": {"operator": "LessThan", "threshold": 5},
    },
    "by-label": {"label": "zone", "validValues": ["a"], "allowsNoLabel": True},
    "priority-holdback-policy": {"minCeiling": 0.5},
}
"""Parameters without a default."""
BUILT_IN = {name for name, entry in Registry.installed().types.items() if entry.value.startswith("epp")}


def assembled(*plugins: dict[str, Any], **more: Any) -> Assembly:
    return assembly_of(yaml.safe_dump(HEAD | {"plugins": list(plugins)} | more))[0]


def plugin(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"type": kind, "parameters": REQUIRED.get(kind, {}) | parameters}


def scores(
    kind: str, candidates: Sequence[Endpoint], request: InferenceRequest | None = None, **parameters: Any
) -> list[float]:
    (profile,) = assembled(plugin(kind, **parameters)).profiles
    (scorer,) = profile.scorers
    return [round(score, 4) for score in scorer.scorer.score(request or make_request(), candidates)]


def kept(
    kind: str, candidates: Sequence[Endpoint], request: InferenceRequest | None = None, **parameters: Any
) -> list[str]:
    (profile,) = assembled(plugin(kind, **parameters)).profiles
    (one,) = profile.filters
    return [endpoint.name for endpoint in one.filter.filter(request or make_request(), candidates)]


def pool(count: int = 3, **more: Any) -> list[Endpoint]:
    return [make_endpoint(f"pod-{i}", port=8000 + i, **more) for i in range(count)]


def labelled(*values: str | None, label: str) -> list[Endpoint]:
    return [make_endpoint(f"pod-{i}", labels={} if value is None else {label: value}) for i, value in enumerate(values)]
