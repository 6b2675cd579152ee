"""Priorities and rewrites of the cluster: InferenceObjectives and InferenceModelRewrites that are for this pool."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from epp.director.policies import PolicySet, RewriteRule, Target
from epp.kube.connection import NOT_FOUND, KubeError
from epp.kube.objects import (
    POLICY_GROUPS,
    POLICY_VERSION,
    InferenceModelRewrite,
    InferenceObjective,
    KubeObject,
    PoolRef,
    Resources,
    Rule,
)
from epp.kube.reflector import Kind, KubeContext, Reflector, decoded

TOGETHER_S = 0.2
"""Changes that come within so long are published together: rules are put in order anew each time."""
LOOK_AGAIN_S = 30.0
"""How often it is looked whether a group of CRDs has come or gone, more or less."""
RETRY_S = 1.0
"""How soon it is looked again when the server has never said; once `SETTLE_S` is over each time twice as long, up to
`LOOK_AGAIN_S`."""
SETTLE_S = 5.0
"""How long a picker that starts waits for the policies, before it serves requests without those it did not get."""
OBJECTIVES, REWRITES = "inferenceobjectives", "inferencemodelrewrites"

T = TypeVar("T", bound=KubeObject)


class _Known(Generic[T]):
    """Listens to one kind, and tells somebody of every change."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.objects: dict[str, T] = {}
        self.is_settled = False
        """Whether the cluster has said, once, what there is, or that it has no such kind."""
        self._tell = tell

    def replaced(self, objects: Sequence[T], unread: Collection[str] = ()) -> None:
        """Begin anew."""
        kept = {name: one for name, one in self.objects.items() if name in unread}
        self.objects = {one.metadata.name: one for one in objects} | kept
        self.is_settled = True
        self._tell()

    def changed(self, one: T) -> None:
        """Take note of one."""
        self.objects[one.metadata.name] = one
        self._tell()

    def removed(self, one: T) -> None:
        """Forget one."""
        self.objects.pop(one.metadata.name, None)
        self._tell()


class ClusterPolicies:
    """Follows both kinds, in whichever group the cluster has them, now or later."""

    def __init__(
        self,
        context: KubeContext,
        pool: PoolRef | None,
        publish: Callable[[PolicySet], None],
        *,
        settled: Callable[[], None],
    ) -> None:
        """Take the pool that policies have to be for; ``None``: all in the namespace are for this picker.

        ``settled`` is called once: when what the cluster has was published, or could not be had for a while.
        """
        self._context = context
        self._pool = pool
        self._publish = publish
        self._settled = settled
        self._changed = asyncio.Event()
        self._in_force = asyncio.Event()
        self._objectives = _Known[InferenceObjective](self._changed.set)
        self._rewrites = _Known[InferenceModelRewrite](self._changed.set)
        self._complaints: dict[str, str] = {}
        """Why it is not known which group has a resource, as it was last logged."""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(OBJECTIVES, InferenceObjective, self._objectives))
            group.create_task(self._follow(REWRITES, InferenceModelRewrite, self._rewrites))
            group.create_task(self._publish_changes())
            group.create_task(self._settle())

    async def _follow(self, resource: str, kind: type[T], known: _Known[T]) -> None:
        group: str | None = None
        following: asyncio.Task[None] | None = None
        unanswered = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                found = await self._group_of(resource, group)
                if found != group or (following is not None and following.done()):
                    if following is not None:
                        following.cancel()
                    group, following = found, None
                    if group:
                        path = f"/apis/{group}/{POLICY_VERSION}/namespaces/{self._context.namespace}/{resource}"
                        following = tasks.create_task(self._reflect(Kind(path, kind, may_be_absent=True), known))
                    else:
                        known.replaced([])
                    self._context.log.info("kube_policies", resource=resource, group=group or None)
                unanswered = unanswered + 1 if group is None else 0
                await asyncio.sleep(pause_s(unanswered) * self._context.random.uniform(0.8, 1.2))

    async def _reflect(self, kind: Kind[T], known: _Known[T]) -> None:
        """Follow; returns when the server does not know the kind any more."""
        reflector = Reflector(self._context, kind, known)
        with contextlib.suppress(KubeError):
            await reflector.run()

    async def _group_of(self, resource: str, before: str | None) -> str | None:
        """Return the first group that has a resource, empty for none, and what it was when the server does not say."""
        found = ""
        try:
            for group in POLICY_GROUPS:
                if resource in await self._resources(group):
                    found = group
                    break
        except KubeError as error:
            self._context.metrics.kube_failed(resource, error.status)
            self._note(resource, str(error))
            return before
        self._complaints.pop(resource, None)
        return found

    def _note(self, resource: str, complaint: str) -> None:
        """Log why nothing is known, once while it stays the same."""
        if self._complaints.get(resource) != complaint:
            self._complaints[resource] = complaint
            self._context.log.warning("kube_discovery_failed", resource=resource, error=complaint)

    async def _resources(self, group: str) -> set[str]:
        path = f"/apis/{group}/{POLICY_VERSION}"
        try:
            content = await self._context.api.request("GET", path)
        except KubeError as error:
            if error.status == NOT_FOUND:
                return set()
            raise
        return decoded(content, Resources, f"GET {path}").names

    async def _publish_changes(self) -> None:
        """Publish what is for this pool whenever something has changed, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._publish(self._of_this_pool())
            if self._objectives.is_settled and self._rewrites.is_settled:
                self._in_force.set()
            await asyncio.sleep(TOGETHER_S)

    async def _settle(self) -> None:
        """Say that the policies are in force, or after a while that requests go on without those that are unknown."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._in_force.wait()
        except TimeoutError:
            unknown = [OBJECTIVES] * (not self._objectives.is_settled) + [REWRITES] * (not self._rewrites.is_settled)
            self._context.log.warning("kube_policies_unknown", resources=unknown, effect="served without them")
        self._settled()

    def _of_this_pool(self) -> PolicySet:
        objectives = [one for one in self._objectives.objects.values() if self._is_ours(one.spec.pool_ref)]
        rewrites = [one for one in self._rewrites.objects.values() if self._is_ours(one.spec.pool_ref)]
        return PolicySet(priorities_of(objectives), rules_of(rewrites))

    def _is_ours(self, ref: PoolRef) -> bool:
        return self._pool is None or (ref.name, ref.group) == (self._pool.name, self._pool.group)


def pause_s(unanswered: int) -> float:
    """Return how long to wait after so many questions in a row that the server has not answered; 0: it has."""
    if not unanswered:
        return LOOK_AGAIN_S
    doublings = max(0, unanswered - int(SETTLE_S / RETRY_S))
    return min(LOOK_AGAIN_S, RETRY_S * 2.0 ** min(doublings, 10))


def priorities_of(objectives: Iterable[InferenceObjective]) -> Mapping[str, int]:
    """Return priorities by name; one without says 0."""
    return {one.metadata.name: one.spec.priority or 0 for one in objectives}


def rules_of(rewrites: Iterable[InferenceModelRewrite]) -> Sequence[RewriteRule]:
    """Return the rules of all objects, those of the oldest first, and of one object in their order."""
    ordered = sorted(rewrites, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))
    return [
        RewriteRule(_models_of(rule), [Target(target.model_rewrite, target.weight) for target in rule.targets])
        for one in ordered
        for rule in one.spec.rules
    ]


def _models_of(rule: Rule) -> frozenset[str]:
    """Return the models that a rule names; none where one of its matches is for all."""
    models = [match.model.value if match.model is not None else "" for match in rule.matches or ()]
    return frozenset(models) if all(models) else frozenset()
