"""What the picker's service account may do at the API server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from epp.doctor.picker import Picker
from epp.doctor.pool import POOLS, Pool
from epp.doctor.reading import Reader
from epp.doctor.verdict import FailedError, Found, SkippedError
from epp.kube.connection import FORBIDDEN, KubeError
from epp.kube.objects import POLICY_GROUPS, POLICY_VERSION
from epp.kube.policies import OBJECTIVES, REWRITES

REVIEWS = "/apis/authorization.k8s.io/v1"
FOLLOW = ("get", "list", "watch")
LEASE_VERBS = ("get", "create", "update")


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the picker does."""

    group: str
    resource: str
    verb: str

    @property
    def full_resource(self) -> str:
        """As ``kubectl`` takes it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class _ReviewStatus(Struct):
    allowed: bool = False
    reason: str | None = None


class _Review(Struct):
    status: _ReviewStatus = field(default_factory=_ReviewStatus)


async def check_access(reader: Reader, pool: Pool, picker: Picker, *, is_in_pod: bool) -> Found[None]:
    """Tell whether the picker may read what it follows.

    Asks about its service account; in a pod that may not ask about others, about the account of this pod.
    """
    account = picker.spec.service_account_name
    user = f"system:serviceaccount:{pool.namespace}:{account}"
    needs = await _needs(reader, pool, picker)
    try:
        refused = await _refused(reader, needs, pool.namespace, user)
        who = f"ServiceAccount {pool.namespace}/{account}"
    except KubeError as error:
        if error.status != FORBIDDEN:
            raise
        if not is_in_pod:
            message = "not allowed to ask what others may: it takes the right to create subjectaccessreviews"
            raise SkippedError(message, f"ask somebody who may: {_can_i(needs[0], user, pool.namespace)}") from error
        refused = await _refused(reader, needs, pool.namespace, None)
        who, user = "the account of this pod", ""
    if refused:
        raise FailedError(f"{who} may not {_listed(refused)}", _advice(refused[0], user, pool.namespace))
    return Found(None, f"{who} may {_listed(needs)}")


async def _needs(reader: Reader, pool: Pool, picker: Picker) -> Sequence[Need]:
    followed = [("", "pods"), (pool.group, POOLS)]
    for resource in (OBJECTIVES, REWRITES):
        for group in POLICY_GROUPS:
            if await reader.has(f"/apis/{group}/{POLICY_VERSION}", resource):
                followed.append((group, resource))
                break
    needs = [Need(group, resource, verb) for group, resource in followed for verb in FOLLOW]
    if picker.spec.is_on("ha-enable-leader-election"):
        needs += [Need("coordination.k8s.io", "leases", verb) for verb in LEASE_VERBS]
    return needs


async def _refused(reader: Reader, needs: Sequence[Need], namespace: str, user: str | None) -> Sequence[Need]:
    """Return what a user, or whoever asks, may not."""
    kind = "SelfSubjectAccessReview" if user is None else "SubjectAccessReview"
    path = f"{REVIEWS}/{kind.lower()}s"

    async def is_allowed(need: Need) -> bool:
        attributes = {"namespace": namespace, "verb": need.verb, "group": need.group, "resource": need.resource}
        spec: dict[str, Any] = {"resourceAttributes": attributes}
        if user is not None:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            spec |= {"user": user, "groups": groups}
        question = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        return (await reader.post(path, question, _Review)).status.allowed

    allowed = await asyncio.gather(*(is_allowed(need) for need in needs))
    return [need for need, one in zip(needs, allowed, strict=True) if not one]


def _listed(needs: Sequence[Need]) -> str:
    """Return ``get, list, watch pods, inferencepools; ...``."""
    verbs: dict[str, list[str]] = {}
    for need in needs:
        verbs.setdefault(need.resource, []).append(need.verb)
    resources: dict[str, list[str]] = {}
    for resource, some in verbs.items():
        resources.setdefault(", ".join(some), []).append(resource)
    return "; ".join(f"{some} {', '.join(them)}" for some, them in resources.items())


def _advice(need: Need, user: str, namespace: str) -> str:
    account = user.removeprefix("system:serviceaccount:") or f"{namespace}:ACCOUNT"
    name = f"epp-{need.resource}"
    verbs = ",".join(LEASE_VERBS if need.resource == "leases" else FOLLOW)
    return (
        f"kubectl create role {name} -n {namespace} --verb={verbs} --resource={need.full_resource} && "
        f"kubectl create rolebinding {name} -n {namespace} --role={name} --serviceaccount={account}"
    )


def _can_i(need: Need, user: str, namespace: str) -> str:
    return f"kubectl auth can-i {need.verb} {need.full_resource} -n {namespace} --as={user}"
