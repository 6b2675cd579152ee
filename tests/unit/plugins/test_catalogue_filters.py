"""Filters keep what the reference keeps, and saturation is what it is there."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from epp.plugin import Endpoint, PeerEndpoint
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import Registry
from tests.fakes.catalogue import kept, labelled, pool, scores


def test_topology_affinity() -> None:
    host, rack, zone, region = (
        "kubernetes.io/hostname",
        "topology.kubernetes.io/rack",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
    )
    peer = make_endpoint("peer", labels={host: "h", rack: "r", zone: "z", region: "g"})
    places = [{host: "h"}, {host: "i", rack: "r"}, {zone: "z"}, {region: "g"}, {}]
    endpoints = [make_endpoint(f"pod-{i}", labels=labels) for i, labels in enumerate(places)]
    request = make_request()
    assert scores("topology-affinity-scorer", endpoints, request) == [0] * 5
    request.attach(PeerEndpoint(peer))
    assert scores("topology-affinity-scorer", endpoints, request) == [1.0, 0.2, 0.05, 0.02, 0.0]
    assert kept("topology-affinity-filter", endpoints, request) == ["pod-0"]
    assert kept("topology-affinity-filter", endpoints, request, minAffinity="zone") == ["pod-0", "pod-1", "pod-2"]
    assert len(kept("topology-affinity-filter", endpoints[4:], request)) == 1


ROLES = (None, "encode", "prefill", "decode", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode", "x")


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        ("decode-filter", {None, "decode", "prefill-decode", "both", "encode-prefill-decode"}),
        ("prefill-filter", {"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"}),
        ("encode-filter", {"encode", "encode-prefill", "encode-prefill-decode"}),
    ],
)
def test_role_filters(kind: str, roles: set[str | None]) -> None:
    endpoints = labelled(*ROLES, label="llm-d.ai/role")
    assert {ROLES[int(name.removeprefix("pod-"))] for name in kept(kind, endpoints)} == roles


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param({}, ["pod-0", "pod-1", "pod-2"], id="everything"),
        pytest.param({"matchLabels": {"zone": "a"}}, ["pod-0"], id="equal"),
        pytest.param(
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}, ["pod-0", "pod-1"], id="in"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]},
            ["pod-1", "pod-2"],
            id="not in",
        ),
        pytest.param({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, ["pod-0", "pod-1"], id="exists"),
        pytest.param(
            {"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}, ["pod-2"], id="does not exist"
        ),
    ],
)
def test_label_selector(selector: dict[str, Any], names: list[str]) -> None:
    endpoints = labelled("a", "b", None, label="zone")
    assert kept("label-selector-filter", endpoints, **selector) == names
    assert kept("by-label-selector", endpoints, **selector) == names


def test_by_label() -> None:
    endpoints = labelled("a", "b", None, label="zone")
    assert kept("by-label", endpoints) == ["pod-0", "pod-2"]
    assert kept("by-label", endpoints, allowsNoLabel=False) == ["pod-0"]


def test_utilization_detector_keeps_what_is_below_its_thresholds_or_all() -> None:
    idle, queued, full = (
        make_endpoint("idle"),
        make_endpoint("queued", waiting=5),
        make_endpoint("full", kv_cache_ratio=0.8),
    )
    assert kept("utilization-detector", [idle, queued, full]) == ["idle"]
    assert kept("utilization-detector", [queued, full]) == ["queued", "full"]
    assert kept("utilization-detector", [idle, queued, full], headroom=0.1) == ["idle", "queued", "full"]


def test_concurrency_detector_may_leave_nothing() -> None:
    idle, busy = pool(2)
    busy.in_flight = replace(busy.in_flight, requests=100, uncached_tokens=10)
    assert kept("concurrency-detector", [idle, busy]) == ["pod-0"]
    assert kept("concurrency-detector", [busy]) == []
    assert kept("concurrency-detector", [busy], concurrencyMode="tokens") == ["pod-1"]
    assert kept("concurrency-detector", [busy], concurrencyMode="hybrid") == []
    assert kept("concurrency-detector", [busy], headroom=0.01) == ["pod-1"]


def saturation(kind: str, endpoints: list[Endpoint], **parameters: Any) -> float:
    loaded = Registry.installed().load(kind)
    params = {"utilization-detector": "UtilizationDetector", "concurrency-detector": "ConcurrencyDetector"}
    assert loaded.__name__ == params[kind]
    module = __import__(loaded.__module__, fromlist=["Params"])
    detector: Any = loaded(msgspec.convert(parameters, module.Params))
    return round(float(detector.saturation(endpoints)), 4)


def test_saturation_is_the_mean_over_the_pool() -> None:
    endpoints = [make_endpoint(waiting=5), make_endpoint(kv_cache_ratio=0.4), make_endpoint(waiting=10)]
    assert saturation("utilization-detector", endpoints) == round((1 + 0.5 + 2) / 3, 4)
    assert saturation("utilization-detector", []) == 1.0
    busy, idle = pool(2)
    busy.in_flight = replace(busy.in_flight, requests=50, uncached_tokens=800_000)
    assert saturation("concurrency-detector", [busy, idle]) == 0.25
    assert saturation("concurrency-detector", [busy, idle], concurrencyMode="hybrid") == 0.4
    assert saturation("concurrency-detector", []) == 1.0
