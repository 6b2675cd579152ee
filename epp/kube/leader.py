"""Which of several pickers is the one that gateways use: the holder of a Lease.

As client-go does it: whoever holds the Lease renews it; whoever does not looks at it, and takes it when it was not
renewed for as long as it says. Clocks of machines are not compared: a Lease is old when it has not changed for that
time here.

A picker of another pod template that began later is a successor: once it is warm it says so on the Lease, and the
holder hands the Lease over, and stays the leader until the successor has taken it. So a rollout has no moment without
a leader. A holder that cannot reach the API server stays the holder: nobody else can take the Lease through the same
server, and a pool without a ready picker is worse than one with two
(docs/decisions/0011-leadership-without-an-api-server.md).
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

import msgspec
from msgspec import Struct, field

from epp.kube.connection import CONFLICT, FORBIDDEN, NOT_FOUND, KubeError
from epp.kube.reflector import KubeContext, decoded

LEASE_S = 15
RETRY_S = 2.0
"""Defaults of client-go, like `LEASE_S`."""
RELEASE_S = 3.0
"""How long an end waits for the API server."""


HOLDER, SUCCESSOR = "endpoint-picker/holder", "endpoint-picker/successor"
"""Annotations: a `Candidate` each."""


class Candidate(Struct, frozen=True, rename="camel"):
    """A picker that may hold the Lease."""

    identity: str
    template: str
    """The hash of its pod's template; empty where it is not known."""
    started_at: str
    """When its pod was made, by the API server's clock, the only one that all know; ISO 8601."""

    def succeeds(self, other: "Candidate") -> bool:
        """Tell whether it comes after another one: it is of a rollout that began later."""
        templates = {"", self.template, other.template}
        return len(templates) == 3 and self.started_at > other.started_at  # noqa: PLR2004 - none is empty or the same


class _Meta(Struct, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    def candidate(self, annotation: str) -> Candidate | None:
        """Return who is named there; ``None``: nobody, or nobody that can be read."""
        try:
            return msgspec.json.decode((self.annotations or {}).get(annotation, ""), type=Candidate)
        except msgspec.MsgspecError:
            return None

    def name_candidate(self, annotation: str, one: Candidate | None) -> None:
        """Name somebody there, or nobody."""
        others = {key: value for key, value in (self.annotations or {}).items() if key != annotation}
        self.annotations = others if one is None else {**others, annotation: msgspec.json.encode(one).decode()}


class _Spec(Struct, rename="camel", omit_defaults=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Struct, rename="camel", kw_only=True):
    """A Lease, of which only these fields are ours to write."""

    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"
    metadata: _Meta = field(default_factory=_Meta)
    spec: _Spec = field(default_factory=_Spec)


def utc_now() -> str:
    """Return the time as Kubernetes writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LeaderElection:
    """Holds the Lease, or waits for it."""

    def __init__(
        self,
        context: KubeContext,
        name: str,
        own: Candidate,
        *,
        tell: Callable[[bool], None],
        is_warm: Callable[[], bool],
    ) -> None:
        """Take who this picker is, whom to tell whether it is the leader, and what says whether it could be."""
        self._api = context.api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{context.namespace}/leases"
        self._empty = Lease(metadata=_Meta(name=name, namespace=context.namespace))
        self._own = own
        self._identity = own.identity
        self._is_warm = is_warm
        self._heir: tuple[str, str | None] | None = None
        """Whom the Lease was handed to, and when; it has not taken it yet."""
        self._tell = tell
        self._metrics = context.metrics
        self._log = context.log.bind(lease=name, identity=own.identity)
        self._random = context.random
        self._is_leader = False
        self._metrics.leadership(is_leader=False)
        self._is_told = False
        self._seen: tuple[str, str | None] | None = None
        self._seen_at_s = 0.0
        self._complaint = ""

    async def run(self) -> None:
        """Hold the Lease whenever it is free, until cancelled."""
        while True:
            try:
                self._set(is_leader=await self._try())
                self._complaint = ""
            except KubeError as error:
                self._note(error)
            await asyncio.sleep(RETRY_S * self._random.uniform(1.0, 1.2))

    async def release(self) -> None:
        """Give the Lease back if it is ours, so that another picker need not wait until it is old."""
        self._is_leader = False
        self._metrics.leadership(is_leader=False)
        try:
            async with asyncio.timeout(RELEASE_S):
                while not await self._give_back():
                    pass
        except KubeError as error:
            self._note(error)
        except TimeoutError:
            self._log.warning("leadership_not_released", reason="the API server does not answer")

    async def _give_back(self) -> bool:
        """Write nobody into the Lease; tells whether that is done, or it is not ours."""
        lease = await self._read()
        if lease is None or lease.spec.holder_identity != self._identity:
            return True
        lease.spec.holder_identity, lease.spec.lease_duration_seconds = "", 1
        try:
            await self._write(lease)
        except KubeError as error:
            if error.status == CONFLICT:
                return False  # somebody has changed something else of it meanwhile
            raise
        self._log.info("leadership_released")
        return True

    async def _try(self) -> bool:
        """Renew the Lease, or take it if it is free; returns whether it is ours now."""
        lease = await self._read()
        if not self._is_warm():
            if self._is_leader:
                await self._give_back()  # a pool without a ready leader is no better off than one without a leader
            return False
        holder = None if lease is None else lease.spec.holder_identity or None
        if lease is not None and holder not in {None, self._identity} and not self._is_old(lease):
            await self._offer(lease)
            return self._heir == (holder, lease.spec.renew_time)
        taken = lease or self._empty
        successor = taken.metadata.candidate(SUCCESSOR)
        is_handed_over = self._is_leader and successor is not None and successor.succeeds(self._own)
        next_one = successor if is_handed_over and successor is not None else self._own
        self._enter(taken, next_one, is_new=lease is None)
        if is_handed_over:  # said before it is written: the answer may be lost, and the Lease theirs all the same
            self._heir = (next_one.identity, taken.spec.renew_time)
            self._log.info("leadership_handed_over", to=next_one.identity)
        try:
            await self._write(taken)
        except KubeError as error:
            if error.status != CONFLICT:
                raise
            lease = await self._read()  # somebody else was faster, or has changed something else of it
            return lease is not None and lease.spec.holder_identity == self._identity
        return True

    @staticmethod
    def _enter(lease: Lease, holder: Candidate, *, is_new: bool) -> None:
        """Write a holder, who renews it now, into a Lease."""
        spec, now = lease.spec, utc_now()
        if spec.holder_identity != holder.identity:
            spec.lease_transitions = (spec.lease_transitions or 0) + (not is_new)
            spec.acquire_time = now
        spec.holder_identity, spec.lease_duration_seconds, spec.renew_time = holder.identity, LEASE_S, now
        lease.metadata.name_candidate(HOLDER, holder)
        lease.metadata.name_candidate(SUCCESSOR, None)

    async def _offer(self, lease: Lease) -> None:
        """Say on the Lease that this picker could take it over from an older one, if it could."""
        holder, successor = lease.metadata.candidate(HOLDER), lease.metadata.candidate(SUCCESSOR)
        if holder is None or not self._own.succeeds(holder) or not self._is_warm():
            return
        if successor is None or self._own.succeeds(successor):
            lease.metadata.name_candidate(SUCCESSOR, self._own)
            with contextlib.suppress(KubeError):  # it is offered again the next time
                await self._write(lease)

    def _is_old(self, lease: Lease) -> bool:
        """Tell whether its holder has not renewed it for as long as it says."""
        now_s = asyncio.get_running_loop().time()
        seen = (lease.spec.holder_identity or "", lease.spec.renew_time)
        if seen != self._seen:
            self._seen, self._seen_at_s = seen, now_s
        return now_s - self._seen_at_s >= (lease.spec.lease_duration_seconds or 0)

    async def _read(self) -> Lease | None:
        path = f"{self._path}/{self._empty.metadata.name}"
        try:
            return decoded(await self._api.request("GET", path), Lease, f"GET {path}")
        except KubeError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _write(self, lease: Lease) -> None:
        body = msgspec.json.encode(lease)
        if lease.metadata.resource_version:
            await self._api.request("PUT", f"{self._path}/{lease.metadata.name}", body=body)
        else:
            await self._api.request("POST", self._path, body=body)

    def _set(self, *, is_leader: bool) -> None:
        if is_leader != self._is_leader or not self._is_told:
            self._is_leader, self._is_told = is_leader, True
            self._log.info("leadership", is_leader=is_leader)
            self._metrics.leadership(is_leader=is_leader)
            self._tell(is_leader)

    def _note(self, error: KubeError) -> None:
        self._metrics.kube_failed("leases", error.status)
        if str(error) != self._complaint:
            more = {"needs": "get, create and update on leases"} if error.status == FORBIDDEN else {}
            self._log.warning("kube_lease_failed", error=str(error), is_leader=self._is_leader, **more)
        self._complaint = str(error)
