"""Fixtures of several modules."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epp.extproc.transport import Transport
from epp.kube import leader, reflector
from epp.kube import policies as policies_module
from epp.kube import pool as pool_module
from tests.fakes.doctor_cluster import DoctorCluster, running_doctor_cluster
from tests.fakes.kube_api import KubeApi, running_api
from tests.fakes.transports import Running, running
from tests.fakes.upstream import Upstream, running_upstreams


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeApi]:
    monkeypatch.setattr(reflector, "FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr(reflector, "SHORTEST_WATCH_S", 0.02)
    monkeypatch.setattr(reflector, "LONGEST_BACKOFF_S", 0.1)
    monkeypatch.setattr(pool_module, "ABSENT_RETRY_S", 0.05)
    monkeypatch.setattr(leader, "RETRY_S", 0.05)
    monkeypatch.setattr(leader, "LEASE_S", 1)
    monkeypatch.setattr(policies_module, "TOGETHER_S", 0.01)
    monkeypatch.setattr(policies_module, "LOOK_AGAIN_S", 0.05)
    async with running_api() as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path)))
        yield running


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DoctorCluster]:
    monkeypatch.delenv("NAMESPACE", raising=False)
    async with running_doctor_cluster() as running:
        monkeypatch.setenv("KUBECONFIG", str(running.api.kubeconfig(tmp_path)))
        yield running


@pytest.fixture(params=[Transport.HYPER, Transport.GRPCIO])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(request.param) as one:
        yield one


@pytest.fixture
async def upstreams() -> AsyncIterator[list[Upstream]]:
    async with running_upstreams(2) as started:
        yield started
