"""Objectives and rewrites of the cluster, over HTTP."""

import io
import json
from typing import Any

import pytest

from epp.director.policies import RewriteRule, Target
from epp.kube import policies
from epp.kube.cluster import PoolName
from epp.kube.objects import NEW_POOL_GROUP, OLD_POOL_GROUP, PoolShape
from tests.fakes.following import followed, until
from tests.fakes.kube_api import CORE, NEW_GROUP, OLD_GROUP, KubeApi

OBJECTIVES, REWRITES = "inferenceobjectives", "inferencemodelrewrites"
LLAMA = {"name": "llama", "group": "inference.networking.k8s.io"}


def objective(name: str, priority: int | None, ref: dict[str, str] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"poolRef": ref or {"name": "llama"}}
    return {"metadata": {"name": name}, "spec": spec if priority is None else spec | {"priority": priority}}


def rewrite(name: str, *rules: dict[str, Any], created: str) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": created}
    return {"metadata": metadata, "spec": {"poolRef": LLAMA, "rules": list(rules)}}


def rule(*models: str, to: str, weight: int | None = None) -> dict[str, Any]:
    matches = [{"model": {"type": "Exact", "value": model}} for model in models]
    target = {"modelRewrite": to} | ({} if weight is None else {"weight": weight})
    return {"matches": matches, "targets": [target]}


def serve(api: KubeApi, group: str) -> None:
    api.kinds |= {f"{group}/{OBJECTIVES}", f"{group}/{REWRITES}"}


@pytest.mark.parametrize("group", [NEW_GROUP, OLD_GROUP])
async def test_priorities_of_this_pool_are_known_in_either_group(api: KubeApi, group: str) -> None:
    serve(api, group)
    api.put(f"{group}/{OBJECTIVES}", objective("batch", -1))
    api.put(f"{group}/{OBJECTIVES}", objective("plain", None))
    api.put(f"{group}/{OBJECTIVES}", objective("of-another", 9, {"name": "other"}))
    api.put(f"{group}/{OBJECTIVES}", objective("of-another-group", 9, {"name": "llama", "group": "x.io"}))
    async with followed() as (seen, _):
        await until(lambda: seen.policies.priorities == {"batch": -1, "plain": 0})
        api.put(f"{group}/{OBJECTIVES}", objective("batch", -5))
        await until(lambda: seen.policies.priorities["batch"] == -5)
        api.delete(f"{group}/{OBJECTIVES}", "batch")
        await until(lambda: seen.policies.priorities == {"plain": 0})


async def test_policies_are_in_force_before_they_are_said_to_be(api: KubeApi) -> None:
    """Of both kinds: a picker that is ready rewrites the first request already."""
    serve(api, NEW_GROUP)
    api.put(f"{NEW_GROUP}/{OBJECTIVES}", objective("batch", -1))
    api.put(f"{NEW_GROUP}/{REWRITES}", rewrite("a", rule("m", to="v2"), created="2026-02-02T00:00:00Z"))
    async with followed() as (seen, _):
        await until(lambda: bool(seen.settled))
        (settled,) = seen.settled
        assert settled.priorities == {"batch": -1}
        assert settled.rules == [RewriteRule(frozenset({"m"}), [Target("v2")])]


async def test_cluster_without_policies_settles_at_once(api: KubeApi) -> None:
    async with followed() as (seen, _):
        await until(lambda: len(seen.settled) == 1)


async def test_policies_that_cannot_be_had_are_not_waited_for_long(
    api: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "SETTLE_S", 0.3)
    serve(api, NEW_GROUP)
    api.put(f"{NEW_GROUP}/{OBJECTIVES}", objective("batch", -1))
    api.refusals[f"/{REWRITES}"] = (403, "no")
    log = io.StringIO()
    async with followed(log_to=log) as (seen, _):
        await until(lambda: seen.policies.priorities == {"batch": -1})
        assert not seen.settled
        await until(lambda: len(seen.settled) == 1)
    (event,) = [json.loads(line) for line in log.getvalue().splitlines() if "kube_policies_unknown" in line]
    assert event["resources"] == [REWRITES]


async def test_new_group_counts_where_both_are_there(api: KubeApi) -> None:
    serve(api, NEW_GROUP)
    serve(api, OLD_GROUP)
    api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("old", 1))
    api.put(f"{NEW_GROUP}/{OBJECTIVES}", objective("new", 2))
    async with followed() as (seen, _):
        await until(lambda: seen.policies.priorities == {"new": 2})


async def test_kinds_that_come_later_move_and_go_are_noticed(api: KubeApi) -> None:
    async with followed() as (seen, _):
        api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("old", 1))
        serve(api, OLD_GROUP)
        await until(lambda: seen.policies.priorities == {"old": 1})
        api.put(f"{NEW_GROUP}/{OBJECTIVES}", objective("new", 2))
        serve(api, NEW_GROUP)
        await until(lambda: seen.policies.priorities == {"new": 2})
        api.kinds = {one for one in api.kinds if not one.startswith((NEW_GROUP, OLD_GROUP))}
        api.break_watches()
        await until(lambda: seen.policies.priorities == {})


async def test_rules_are_in_the_order_of_age(api: KubeApi) -> None:
    serve(api, NEW_GROUP)
    younger = rewrite("a", rule("m", to="younger"), created="2026-02-02T00:00:00Z")
    older = rewrite("b", rule("m", to="older", weight=3), rule(to="any"), created="2026-01-01T00:00:00Z")
    for one in (younger, older):
        api.put(f"{NEW_GROUP}/{REWRITES}", one)
    async with followed() as (seen, _):
        await until(lambda: len(seen.policies.rules) == 3)
        assert seen.policies.rules == [
            RewriteRule(frozenset({"m"}), [Target("older", 3)]),
            RewriteRule(frozenset(), [Target("any")]),
            RewriteRule(frozenset({"m"}), [Target("younger")]),
        ]


async def test_objects_that_make_no_sense_are_left_out(api: KubeApi) -> None:
    serve(api, NEW_GROUP)
    api.put(f"{NEW_GROUP}/{OBJECTIVES}", {"metadata": {"name": "odd"}, "spec": {"priority": "high"}})
    api.put(f"{NEW_GROUP}/{OBJECTIVES}", objective("good", 3))
    api.put(f"{NEW_GROUP}/{REWRITES}", {"metadata": {"name": "odd"}, "spec": {"poolRef": LLAMA, "rules": [{}]}})
    async with followed() as (seen, _):
        await until(lambda: seen.policies.priorities == {"good": 3})
        assert seen.policies.rules == []


@pytest.mark.parametrize(("pod", "names"), [("epp-6f5d8-x2x", {"mine"}), ("", {"mine", "others"})])
async def test_without_a_pool_policies_name_the_pickers_deployment(
    api: KubeApi, monkeypatch: pytest.MonkeyPatch, pod: str, names: set[str]
) -> None:
    monkeypatch.setenv("POD_NAME", pod)
    serve(api, OLD_GROUP)
    api.kinds.add(f"{CORE}/pods")
    api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("mine", 1, {"name": "epp"}))
    api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("others", 2, {"name": "other"}))
    async with followed(PoolShape({"app": "vllm"}, [8000])) as (seen, _):
        await until(lambda: set(seen.policies.priorities) == names)


async def test_pool_of_the_old_group_has_policies_that_say_so(api: KubeApi) -> None:
    serve(api, OLD_GROUP)
    api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("new", 1))
    api.put(f"{OLD_GROUP}/{OBJECTIVES}", objective("old", 2, {"name": "llama", "group": OLD_POOL_GROUP}))
    assert NEW_POOL_GROUP != OLD_POOL_GROUP
    async with followed(PoolName(OLD_POOL_GROUP, "llama")) as (seen, _):
        await until(lambda: seen.policies.priorities == {"old": 2})
