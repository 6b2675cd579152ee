"""The endpoints of a pool: the pods that it selects, each with its ports."""

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence

from epp.kube.connection import KubeError
from epp.kube.objects import (
    ACTIVE_PORTS,
    NEW_POOL_GROUP,
    POOL_VERSIONS,
    AnyPool,
    InferencePool,
    OldInferencePool,
    Pod,
    PoolShape,
)
from epp.kube.reflector import Kind, KubeContext, Reflector
from epp.plugin import EndpointSpec

PORT_DIGITS = 5
TOGETHER_S = 0.02
"""Changes that come within so long are published together: a rolling update changes thousands of pods at once."""
TIMES_UNTIL_ABSENT = 3
"""A pool that was there is gone when the server has said so often in a row that it knows no such thing: one such answer
may be a proxy's, or of an API server that is just starting."""
ABSENT_RETRY_S = 10.0
"""How often it is tried whether the server knows InferencePools by now."""


Publish = Callable[[Sequence[EndpointSpec] | None], None]
"""Takes the endpoints; ``None``: there is no such pool."""


def specs_of(pod: Pod, ports: Sequence[int]) -> list[EndpointSpec]:
    """Return an endpoint for each port that a pod serves on; none while it is not ready, or about to go."""
    if not pod.is_serving or not _is_address(pod.status.pod_ip):
        return []
    one, active = pod.metadata, _active_ports(pod.metadata.annotations or {})
    return [
        EndpointSpec(
            name=f"{one.name}-rank-{rank}",
            namespace=one.namespace,
            uid=one.uid,
            address=pod.status.pod_ip,
            port=port,
            labels=one.labels or {},
        )
        for rank, port in enumerate(ports)
        if active is None or port in active
    ]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _active_ports(annotations: Mapping[str, str]) -> set[int] | None:
    """Return the ports that a pod says are active; ``None``: it does not say."""
    for name in ACTIVE_PORTS:
        if name in annotations:
            said = map(str.strip, annotations[name].split(","))
            return {int(port) for port in said if port.isdecimal() and len(port) <= PORT_DIGITS}
    return None


class Pods:
    """Listens to the pods of one shape, and publishes what they are as endpoints."""

    def __init__(self, ports: Sequence[int], publish: Publish) -> None:
        self._ports = ports
        self._publish = publish
        self._specs: dict[str, list[EndpointSpec]] = {}
        self._changed = asyncio.Event()

    def replaced(self, objects: Sequence[Pod], unread: Collection[str]) -> None:
        """Begin anew."""
        kept = {name: specs for name, specs in self._specs.items() if name in unread}
        self._specs = {pod.metadata.name: specs_of(pod, self._ports) for pod in objects} | kept
        self._changed.set()

    def changed(self, one: Pod) -> None:
        """Take note of a pod."""
        self._specs[one.metadata.name] = specs_of(one, self._ports)
        self._changed.set()

    def removed(self, one: Pod) -> None:
        """Forget a pod."""
        self._specs.pop(one.metadata.name, None)
        self._changed.set()

    async def publish(self) -> None:
        """Publish whenever something has changed, until cancelled."""
        last: list[EndpointSpec] | None = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            specs = [spec for specs in self._specs.values() for spec in specs]
            if specs != last:
                self._publish(specs)
                last = specs
            await asyncio.sleep(TOGETHER_S)


class PodsOf:
    """Publishes the pods of a selector; the shape of the pool may change."""

    def __init__(self, context: KubeContext, publish: Publish) -> None:
        self._context = context
        self._publish = publish
        self._log = context.log

    async def follow(self, shape: PoolShape) -> None:
        """Publish the pods of this shape until cancelled."""
        pods = Pods(shape.ports, self._publish)
        path = f"/api/v1/namespaces/{self._context.namespace}/pods"
        reflector = Reflector(self._context, Kind(path, Pod, {"labelSelector": shape.selector}), pods)
        async with asyncio.TaskGroup() as group:
            group.create_task(reflector.run())
            group.create_task(pods.publish())

    async def follow_pool(self, group: str, name: str) -> None:
        """Publish the pods of an InferencePool, whatever becomes of it, until cancelled."""
        shapes = _Shapes(name)
        kind: Kind[AnyPool] = Kind(
            f"/apis/{group}/{POOL_VERSIONS[group]}/namespaces/{self._context.namespace}/inferencepools",
            InferencePool if group == NEW_POOL_GROUP else OldInferencePool,
            {"fieldSelector": f"metadata.name={name}"},
            may_be_absent=True,
        )
        reflector = Reflector(self._context, kind, shapes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_kind(reflector, shapes))
            tasks.create_task(self._follow_shapes(shapes))

    async def _follow_kind(self, reflector: Reflector[AnyPool], shapes: "_Shapes") -> None:
        loop, times = asyncio.get_running_loop(), 0
        while True:
            begun_s = loop.time()
            try:
                await reflector.run()
            except KubeError as error:
                times = times + 1 if loop.time() - begun_s < ABSENT_RETRY_S else 1
                if times == 1:
                    hint = "are the CRDs of InferencePool installed?"
                    self._log.warning("kube_pool_unknown", error=str(error), hint=hint)
                if not shapes.is_known or times >= TIMES_UNTIL_ABSENT:
                    shapes.set(None)
            await asyncio.sleep(ABSENT_RETRY_S)

    async def _follow_shapes(self, shapes: "_Shapes") -> None:
        following: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                shape = await shapes.next()
                if following is not None:
                    following.cancel()
                    await asyncio.wait({following})
                if shape is None:
                    self._log.warning("kube_pool_absent", pool=shapes.name)
                    self._publish(None)
                    following = None
                else:
                    self._log.info("kube_pool", pool=shapes.name, selector=shape.selector, ports=list(shape.ports))
                    following = group.create_task(self.follow(shape))


class _Shapes:
    """Listens to one InferencePool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._shape: PoolShape | None = None
        self._is_told = False
        self._news = asyncio.Event()

    def replaced(self, objects: Sequence[AnyPool], unread: Collection[str]) -> None:
        """Take note of the pool, or that there is none."""
        if self.name not in unread:
            self.set(next((one.shape for one in objects if one.metadata.name == self.name), None))

    def changed(self, one: AnyPool) -> None:
        """Take note of what it says now."""
        if one.metadata.name == self.name:
            self.set(one.shape)

    @property
    def is_known(self) -> bool:
        """Whether there is a pool, as far as is known."""
        return self._shape is not None

    def removed(self, one: AnyPool) -> None:
        """Take note that it is gone."""
        if one.metadata.name == self.name:
            self.set(None)

    def set(self, shape: PoolShape | None) -> None:
        """Take note of a shape, if it is another one."""
        if not self._is_told or shape != self._shape:
            self._shape, self._is_told = shape, True
            self._news.set()

    async def next(self) -> PoolShape | None:
        """Return the next shape; ``None``: there is no pool."""
        await self._news.wait()
        self._news.clear()
        return self._shape
