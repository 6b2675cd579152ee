"""Everything that a picker wants of a cluster, in one object."""

import asyncio
import contextlib
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from epp.director.policies import PolicySet
from epp.kube.connection import KubeError, connected
from epp.kube.leader import Candidate, LeaderElection
from epp.kube.objects import KubeObject, PoolRef, PoolShape
from epp.kube.policies import ClusterPolicies
from epp.kube.pool import PodsOf, Publish
from epp.kube.reflector import KubeContext, decoded
from epp.observability import Metrics
from epp.settings import environment

POD_HASHES = 2
"""A pod of a Deployment is called after it, and after two hashes."""


@dataclass(frozen=True, slots=True)
class PoolName:
    """An InferencePool."""

    group: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What this picker is for."""

    namespace: str
    pool: PoolName | PoolShape
    """An InferencePool, or pods without one."""
    is_elected: bool
    """Whether only the leader of several pickers is ready."""


def own_name() -> str:
    """Return what this picker's Deployment is called, as the pod's name tells it; empty outside of a pod."""
    return environment().pod_name.rsplit("-", POD_HASHES)[0]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told."""

    publish: Publish
    """Of the pool."""
    use_policies: Callable[[PolicySet], None]
    policies_settled: Callable[[], None]
    """That those that were there at the start are in force, or could not be had for a while."""
    lead: Callable[[bool], None]
    """Whether this picker is the leader."""
    is_warm: Callable[[], bool]
    """Says whether this picker could be."""


class Cluster:
    """Follows the cluster while it runs."""

    def __init__(
        self, wanted: Wanted, listeners: Listeners, *, metrics: Metrics, log: FilteringBoundLogger, rng: random.Random
    ) -> None:
        self._wanted = wanted
        self._listeners = listeners
        self._metrics = metrics
        self._log = log
        self._random = rng
        self._election: LeaderElection | None = None
        self._electing: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow while the context is open; raises `ConfigurationError` when there is no cluster."""
        async with connected() as api, asyncio.TaskGroup() as group:
            context = KubeContext(
                api=api, namespace=self._wanted.namespace, metrics=self._metrics, log=self._log, random=self._random
            )
            policies = ClusterPolicies(
                context, self._ref(), self._listeners.use_policies, settled=self._listeners.policies_settled
            )
            tasks = [group.create_task(self._follow_pool(context)), group.create_task(policies.run())]
            if self._wanted.is_elected:
                self._election = self._make_election(context, await _started_at(context))
                self._electing = group.create_task(self._election.run())
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await self.resign()

    async def resign(self) -> None:
        """Let another picker be the leader, if this one is."""
        if self._electing is not None and self._election is not None:
            self._electing.cancel()
            await asyncio.wait({self._electing})
            await self._election.release()

    async def _follow_pool(self, context: KubeContext) -> None:
        pods, pool = PodsOf(context, self._listeners.publish), self._wanted.pool
        if isinstance(pool, PoolName):
            await pods.follow_pool(pool.group, pool.name)
        else:
            await pods.follow(pool)

    def _ref(self) -> PoolRef | None:
        """Return the pool that policies name, who are for this picker: without an InferencePool its own name."""
        pool = self._wanted.pool
        if isinstance(pool, PoolName):
            return PoolRef(pool.name, pool.group)
        return PoolRef(own_name()) if own_name() else None

    def _make_election(self, context: KubeContext, started_at: str) -> LeaderElection:
        pool, namespace = self._wanted.pool, self._wanted.namespace
        name = pool.name if isinstance(pool, PoolName) else own_name() or "endpoint-picker"
        own = Candidate(
            identity=f"{environment().pod_name or socket.gethostname()}_{uuid.uuid4()}",
            template=environment().pod_template_hash if started_at else "",
            started_at=started_at,
        )
        return LeaderElection(
            context,
            f"epp-{namespace}-{name}.llm-d.ai",
            own,
            tell=self._listeners.lead,
            is_warm=self._listeners.is_warm,
        )


async def _started_at(context: KubeContext) -> str:
    """Return when this picker's own pod was made; empty where it is in none, or may not look."""
    own = environment()
    if not own.pod_name:
        return ""
    path = f"/api/v1/namespaces/{own.namespace or context.namespace}/pods/{own.pod_name}"
    try:
        pod = decoded(await context.api.request("GET", path), KubeObject, f"GET {path}")
    except KubeError as error:
        context.log.warning("kube_own_pod_unknown", error=str(error), effect="this picker succeeds no older one")
        return ""
    return pod.metadata.creation_timestamp or ""
