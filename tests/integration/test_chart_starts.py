"""What the charts render starts: ``epp serve`` with exactly the arguments of the Deployment, and only its rights."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epp.demo.parts import HOST
from tests.charts.cases import CASES
from tests.charts.rendering import NAMESPACE, RELEASE, Json, Release, release
from tests.fakes.kube_api import CORE, LEASES, NEW_GROUP, OLD_GROUP, POOLS, KubeApi, pod, pool
from tests.fakes.running import RunningPicker, starting_picker
from tests.fakes.upstream import running_upstreams
from tests.integration.test_serve import SERVING, health_of

CONFIG_FOLDER = "/config"


def written(installed: Release, folder: Path) -> list[str]:
    """Write the ConfigMap where the pod would have it; returns the arguments, which lead there."""
    for file, text in installed.the("ConfigMap", f"{RELEASE}-epp")["data"].items():
        (folder / file).write_text(text)
    return [arg.replace(CONFIG_FOLDER, str(folder)) for arg in installed.args]


def may(installed: Release, verb: str, group: str, resource: str) -> bool:
    """Tell whether the chart's roles allow something."""
    return any(
        verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]
        for role in installed.all("Role")
        for rule in role["rules"]
    )


def fill(api: KubeApi, port: int) -> None:
    """Put a pool of either version, and a pod of it."""
    api.kinds |= {f"{group}/{name}" for group in (NEW_GROUP, OLD_GROUP) for name in POLICIES} | {
        f"{OLD_GROUP}/inferencepools"
    }
    api.put(f"{POOLS}/inferencepools", pool(RELEASE, port))
    old: Json = {"selector": {"app": "vllm"}, "targetPortNumber": port}
    api.put(f"{OLD_GROUP}/inferencepools", {"metadata": {"name": RELEASE}, "spec": old})
    api.put(f"{CORE}/pods", pod("vllm", HOST))


POLICIES = ("inferenceobjectives", "inferencemodelrewrites")


@contextlib.asynccontextmanager
async def started(case: str, api: KubeApi, folder: Path) -> AsyncIterator[tuple[Release, RunningPicker]]:
    """Start what a case renders."""
    chart, values = CASES[case]
    installed = release(chart, values)
    async with running_upstreams(1) as (upstream,):
        fill(api, upstream.port)
        async with starting_picker(*written(installed, folder)) as picker:
            yield installed, picker


@pytest.mark.parametrize("case", CASES)
async def test_rendered_arguments_start_the_picker(
    case: str, api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMESPACE", NAMESPACE)
    monkeypatch.setenv("POD_NAME", f"{RELEASE}-epp-5d9c-x7k2p")
    async with started(case, api, tmp_path) as (installed, picker):
        await picker.wait_until_ready()
        probes = [installed.picker[f"{kind}Probe"]["grpc"] for kind in ("liveness", "readiness")]
        assert [await health_of(picker, probe["service"]) for probe in probes] == [SERVING, SERVING]
        assert not [event for event in picker.events if event.get("event") in {"config_note", "flag_ignored"}]


@pytest.mark.parametrize("case", CASES)
async def test_picker_asks_the_api_server_for_nothing_that_its_role_does_not_allow(
    case: str, api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_NAME", f"{RELEASE}-epp-5d9c-x7k2p")
    async with started(case, api, tmp_path) as (installed, picker):
        await picker.wait_until_ready()
        for resource in POLICIES:
            await picker.event(event="kube_policies", resource=resource)
    asked = {(method, path.partition("?")[0], "watch=true" in path) for method, path in api.requests}
    assert len(asked) > 5
    for method, path, is_watch in asked:
        parts = path.strip("/").split("/")
        if "namespaces" not in parts:
            continue  # discovery, which everybody may
        group = "" if parts[0] == "api" else parts[1]
        resource, *name = parts[parts.index("namespaces") + 2 :]
        verb = {"POST": "create", "PUT": "update"}.get(method) or ("watch" if is_watch else "get" if name else "list")
        assert may(installed, verb, group, resource), f"{verb} {resource} in `{group}`"
    assert any(LEASES in path for _, path, _ in asked) == ("--ha-enable-leader-election" in installed.args)
