"""A cluster as the picker follows it, and what it is told of it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from prometheus_client import CollectorRegistry

from epp.director.policies import NO_POLICIES, PolicySet
from epp.kube.cluster import Cluster, Listeners, PoolName, Wanted
from epp.kube.objects import NEW_POOL_GROUP, PoolShape
from epp.observability import Metrics, make_logger
from epp.plugin import EndpointSpec
from epp.plugin.testing import make_context

PATIENCE_S = 10.0


@dataclass
class Seen:
    """What a picker was told."""

    pools: list[Sequence[EndpointSpec] | None] = field(default_factory=list)
    policies: PolicySet = NO_POLICIES
    leading: list[bool] = field(default_factory=list)
    is_warm: bool = True
    settled: list[PolicySet] = field(default_factory=list)
    """What was in force when the policies were said to be settled."""

    @property
    def destinations(self) -> list[str]:
        """The endpoints, as they are now."""
        if not self.pools or self.pools[-1] is None:
            return []
        return [f"{spec.name} {spec.address}:{spec.port}" for spec in self.pools[-1]]

    def use(self, policies: PolicySet) -> None:
        self.policies = policies


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; fails when it does not come to that."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


POOL_NAME = PoolName(NEW_POOL_GROUP, "llama")


@contextlib.asynccontextmanager
async def followed(
    wanted: PoolName | PoolShape = POOL_NAME, *, is_elected: bool = False, log_to: TextIO | None = None
) -> AsyncIterator[tuple[Seen, Metrics]]:
    """Follow the cluster of ``KUBECONFIG`` while the context is open."""
    seen, metrics = Seen(), Metrics(CollectorRegistry())
    cluster = Cluster(
        Wanted(namespace="default", pool=wanted, is_elected=is_elected),
        Listeners(
            publish=seen.pools.append,
            use_policies=seen.use,
            policies_settled=lambda: seen.settled.append(seen.policies),
            lead=seen.leading.append,
            is_warm=lambda: seen.is_warm,
        ),
        metrics=metrics,
        log=make_context().log if log_to is None else make_logger(1, stream=log_to),
        rng=random.Random(0),
    )
    async with cluster.followed():
        yield seen, metrics
