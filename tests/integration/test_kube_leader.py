"""One of several pickers holds the Lease."""

import asyncio
from typing import Any

import pytest

from tests.fakes.following import followed, until
from tests.fakes.kube_api import CORE, LEASES, KubeApi, pod

NAME = "epp-default-llama.llm-d.ai"


def holder(api: KubeApi) -> str:
    spec: dict[str, Any] = api.objects.get(f"{LEASES}/leases", {}).get(NAME, {}).get("spec", {})
    return str(spec.get("holderIdentity", ""))


async def test_first_one_leads_and_gives_back_at_the_end(api: KubeApi) -> None:
    async with followed(is_elected=True) as (first, _):
        await until(lambda: first.leading == [True])
        async with followed(is_elected=True) as (second, metrics):
            await until(lambda: second.leading == [False])
            assert metrics.registry.get_sample_value("epp_is_leader") == 0
        assert first.leading == [True]
        assert holder(api)
    assert not holder(api)


async def test_standby_takes_over_when_the_leader_goes(api: KubeApi) -> None:
    async with followed(is_elected=True) as (standby, metrics):
        await until(lambda: standby.leading == [True])
        spec = {"holderIdentity": "other", "leaseDurationSeconds": 60, "renewTime": "now"}
        api.put(f"{LEASES}/leases", {"metadata": {"name": NAME}, "spec": spec})
        await until(lambda: standby.leading == [True, False])
        api.put(f"{LEASES}/leases", {"metadata": {"name": NAME}, "spec": spec | {"holderIdentity": ""}})
        await until(lambda: standby.leading == [True, False, True])
        assert metrics.registry.get_sample_value("epp_is_leader") == 1


async def test_lease_of_a_leader_that_vanished_is_taken_when_it_is_old(api: KubeApi) -> None:
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.put(f"{LEASES}/leases", {"metadata": {"name": NAME}, "spec": spec | {"leaseTransitions": 4}})
    async with followed(is_elected=True) as (seen, _):
        await until(lambda: seen.leading == [False])
        await until(lambda: seen.leading == [False, True])
        assert api.objects[f"{LEASES}/leases"][NAME]["spec"]["leaseTransitions"] == 5


async def test_lease_that_is_renewed_is_never_taken(api: KubeApi) -> None:
    async def renew() -> None:
        for number in range(30):
            spec = {"holderIdentity": "other", "leaseDurationSeconds": 1, "renewTime": f"t{number}"}
            api.put(f"{LEASES}/leases", {"metadata": {"name": NAME}, "spec": spec})
            await asyncio.sleep(0.1)

    async with followed(is_elected=True) as (seen, _), asyncio.TaskGroup() as group:
        renewing = group.create_task(renew())
        await renewing
        assert seen.leading == [False]


async def test_leader_stays_while_the_server_is_away(api: KubeApi) -> None:
    async with followed(is_elected=True) as (seen, metrics):
        await until(lambda: seen.leading == [True])
        await api.stop()
        labels = {"resource": "leases", "code": ""}
        await until(lambda: (metrics.registry.get_sample_value("epp_kube_failures_total", labels) or 0) > 3)
        await api.start()
        assert seen.leading == [True]


@pytest.mark.parametrize("code", [403, 500])
async def test_lease_that_cannot_be_had_is_tried_again(api: KubeApi, code: int) -> None:
    api.failures = [(code, "no")] * 8
    async with followed(is_elected=True) as (seen, _):
        await until(lambda: seen.leading == [True])


def as_pod(api: KubeApi, monkeypatch: pytest.MonkeyPatch, template: str, created: str) -> None:
    """Be in a pod of this template."""
    api.put(f"{CORE}/pods", pod(f"epp-{template}", "10.9.9.9", labels={"app": "epp"}, creationTimestamp=created))
    monkeypatch.setenv("POD_NAME", f"epp-{template}")
    monkeypatch.setenv("POD_TEMPLATE_HASH", template)


async def test_leader_that_is_not_ready_any_more_lets_the_lease_go(api: KubeApi) -> None:
    async with followed(is_elected=True) as (first, _), followed(is_elected=True) as (second, _):
        await until(lambda: sorted([first.leading, second.leading]) == [[False], [True]])
        leader, standby = (first, second) if first.leading == [True] else (second, first)
        leader.is_warm = False
        await until(lambda: standby.leading == [False, True])
        assert leader.leading == [True, False]


async def test_picker_that_is_not_ready_does_not_take_the_lease(api: KubeApi) -> None:
    async with followed(is_elected=True) as (seen, metrics):
        seen.is_warm = False
        await until(lambda: seen.leading in ([False], [True, False]))
        await until(lambda: not holder(api))
        assert metrics.registry.get_sample_value("epp_is_leader") == 0
        seen.is_warm = True
        await until(lambda: seen.leading[-1:] == [True])


async def test_lease_that_is_changed_while_it_is_given_back_is_given_back(api: KubeApi) -> None:
    async with followed(is_elected=True) as (seen, _):
        await until(lambda: seen.leading == [True])
        api.conflicts = 2
    assert not holder(api)


async def test_lease_with_nothing_in_it_is_taken(api: KubeApi) -> None:
    empty = {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None, "leaseTransitions": None}
    api.put(f"{LEASES}/leases", {"metadata": {"name": NAME}, "spec": empty})
    async with followed(is_elected=True) as (seen, _):
        await until(lambda: seen.leading == [True])


class TestRollout:
    """Pickers of a new pod template replace those of an old one."""

    async def test_leader_hands_over_to_a_warm_successor_and_leads_until_it_has_taken_over(
        self, api: KubeApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        as_pod(api, monkeypatch, "old", "2026-01-01T00:00:00Z")
        async with followed(is_elected=True) as (old, _):
            await until(lambda: old.leading == [True])
            as_pod(api, monkeypatch, "new", "2026-01-02T00:00:00Z")
            async with followed(is_elected=True) as (new, _):
                new.is_warm = False
                await until(lambda: new.leading == [False])
                await asyncio.sleep(0.2)
                assert (old.leading, new.leading) == ([True], [False])
                new.is_warm = True
                async with asyncio.timeout(5):
                    while new.leading != [False, True]:
                        assert old.leading == [True], "no moment without a leader"
                        await asyncio.sleep(0.001)
                await until(lambda: old.leading == [True, False])
                await asyncio.sleep(0.3)
                assert (old.leading, new.leading) == ([True, False], [False, True])

    async def test_standby_of_the_same_template_waits(self, api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
        as_pod(api, monkeypatch, "same", "2026-01-01T00:00:00Z")
        async with followed(is_elected=True) as (first, _):
            await until(lambda: first.leading == [True])
            async with followed(is_elected=True) as (second, _):
                await asyncio.sleep(0.3)
                assert (first.leading, second.leading) == ([True], [False])

    async def test_older_picker_does_not_succeed(self, api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
        as_pod(api, monkeypatch, "new", "2026-01-02T00:00:00Z")
        async with followed(is_elected=True) as (younger, _):
            await until(lambda: younger.leading == [True])
            as_pod(api, monkeypatch, "old", "2026-01-01T00:00:00Z")
            async with followed(is_elected=True) as (older, _):
                await asyncio.sleep(0.3)
                assert (younger.leading, older.leading) == ([True], [False])

    async def test_successor_that_vanishes_leaves_the_leader(
        self, api: KubeApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        as_pod(api, monkeypatch, "old", "2026-01-01T00:00:00Z")
        async with followed(is_elected=True) as (old, _):
            await until(lambda: old.leading == [True])
            lease = api.objects[f"{LEASES}/leases"][NAME]
            gone = '{"identity": "gone", "template": "new", "startedAt": "2999-01-01T00:00:00.000000Z"}'
            annotations = {**lease["metadata"]["annotations"], "endpoint-picker/successor": gone}
            api.put(f"{LEASES}/leases", {**lease, "metadata": {**lease["metadata"], "annotations": annotations}})
            await until(lambda: holder(api) == "gone")
            await until(lambda: holder(api) not in {"", "gone"})
            assert old.leading == [True]
