"""Several pickers: one leads, or all serve."""

import re

import click
import pytest

from tests.charts.rendering import CHARTS, NEEDED, Json, Release, release

charts = pytest.mark.parametrize("chart", NEEDED)
ALL_SERVE: Json = {"ha-enable-leader-election": False}


def with_replicas(chart: str, replicas: int, flags: Json | None = None) -> Release:
    return release(chart, {"inferenceExtension": {"replicas": replicas, "flags": flags or {}}})


def update(installed: Release) -> object:
    return installed.the("Deployment")["spec"]["strategy"]["rollingUpdate"]


def rules_for(installed: Release, resource: str) -> list[Json]:
    return [rule for rule in installed.the("Role")["rules"] if resource in rule["resources"]]


@charts
def test_one_picker_does_not_ask_to_lead_and_needs_no_leases(chart: str) -> None:
    installed = with_replicas(chart, 1)
    assert not any("leader" in arg for arg in installed.args)
    assert rules_for(installed, "leases") == []


@charts
def test_several_pickers_elect_a_leader_with_the_rights_for_it(chart: str) -> None:
    installed = with_replicas(chart, 2)
    assert "--ha-enable-leader-election" in installed.args
    assert rules_for(installed, "leases")


@charts
def test_election_can_be_switched_off_and_on_by_its_flag(chart: str) -> None:
    off, on = with_replicas(chart, 2, ALL_SERVE), with_replicas(chart, 1, {"ha-enable-leader-election": True})
    assert "--ha-enable-leader-election=false" in off.args
    assert "--ha-enable-leader-election" not in off.args
    assert "--ha-enable-leader-election=true" in on.args
    assert (rules_for(off, "leases") == [], rules_for(on, "leases") == []) == (True, False)


@charts
@pytest.mark.parametrize(("word", "is_on"), click.types.BoolParamType.bool_states.items())
def test_flags_are_on_for_the_words_that_the_picker_takes(chart: str, word: str, *, is_on: bool) -> None:
    installed = with_replicas(chart, 2, {"ha-enable-leader-election": word, "secure-serving": word.upper()})
    assert (rules_for(installed, "leases") != []) is is_on


@charts
def test_no_picker_is_no_reason_for_an_update_that_cannot_be(chart: str) -> None:
    assert update(with_replicas(chart, 0, {"ha-enable-leader-election": True})) == {"maxSurge": 1, "maxUnavailable": 0}


@charts
@pytest.mark.parametrize(("replicas", "flags"), [(1, {}), (2, ALL_SERVE)], ids=["one", "all serve"])
def test_new_pod_is_ready_before_an_old_one_stops(chart: str, replicas: int, flags: Json) -> None:
    assert update(with_replicas(chart, replicas, flags)) == {"maxSurge": 1, "maxUnavailable": 0}


@charts
@pytest.mark.parametrize("replicas", [2, 3])
def test_rollout_keeps_the_one_pod_that_can_be_ready_until_a_new_one_leads(chart: str, replicas: int) -> None:
    installed = with_replicas(chart, replicas)
    assert update(installed) == {"maxSurge": 1, "maxUnavailable": replicas - 1}
    (variable,) = [one for one in installed.picker["env"] if one["name"] == "POD_TEMPLATE_HASH"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['pod-template-hash']"
    assert installed.the("Deployment")["spec"]["progressDeadlineSeconds"] == 2**31 - 1


@charts
def test_page_names_the_variables_that_a_picker_is_given(chart: str) -> None:
    page = (CHARTS.parent / "docs" / "kubernetes.md").read_text()
    named = re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", page, re.MULTILINE)
    given = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in with_replicas(chart, 2).picker["env"]}
    assert dict(named) == given


@charts
def test_disruptions_are_bounded_only_where_all_are_ready(chart: str) -> None:
    assert with_replicas(chart, 1).all("PodDisruptionBudget") == []
    assert with_replicas(chart, 2).all("PodDisruptionBudget") == []
    assert with_replicas(chart, 2, ALL_SERVE).the("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@charts
def test_several_pickers_are_spread_over_nodes_if_possible(chart: str) -> None:
    (constraint,) = with_replicas(chart, 2).pod["topologySpreadConstraints"]
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert "topologySpreadConstraints" not in with_replicas(chart, 1).pod


@charts
def test_notes_say_that_waiting_pods_are_not_ready(chart: str) -> None:
    assert "2 pickers: one leads" in with_replicas(chart, 2).notes
    assert "one leads" not in with_replicas(chart, 2, ALL_SERVE).notes
