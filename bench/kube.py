"""What following a cluster costs the picker's loop: ``make bench-kube``.

An API server in a process of its own lists pods as large as real ones, and then replaces 1,000 of them as fast as the
connection takes it. The figures are those of the process that follows: its CPU, and the longest time that anything else
on its loop had to wait.
"""

import asyncio
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry

from epp.datalayer import Datastore
from epp.demo.process import free_ports
from epp.kube.cluster import Cluster, Listeners, Wanted
from epp.kube.connection import connected
from epp.kube.objects import PoolShape
from epp.observability import Metrics, make_logger
from epp.plugin import EndpointSpec

HOST = "127.0.0.1"
LISTED, LISTED_MAY_TAKE_S = 500, 0.1
REPLACED, LAG_MAY_BE_S, STAYS_AT_MOST_S = 1000, 0.05, 0.1
TICK_S = 0.001
POD_BYTES = 8_000
"""A pod with its specification, status and managed fields."""
GO = "/go"
DROP = "/drop"


def pod(number: int, generation: int, *, version: int, is_ready: bool = True) -> dict[str, object]:
    """Return a pod, most of which nobody reads."""
    ballast = {f"f:field-{i}": {".": {}, "f:name": {}, "f:value": "x" * 40} for i in range(POD_BYTES // 90)}
    return {
        "metadata": {
            "name": f"vllm-{generation}-{number}",
            "namespace": "default",
            "uid": f"{generation}-{number}",
            "resourceVersion": str(version),
            "labels": {"app": "vllm"},
            "managedFields": [{"manager": "kubelet", "fieldsV1": ballast}],
        },
        "status": {
            "podIP": f"10.{generation}.{number // 250}.{number % 250}",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
        },
    }


def rolling_update(count: int) -> Iterator[bytes]:
    """Yield the lines of a watch while every pod is replaced."""
    version = 10
    for number in range(count):
        steps = (
            ("ADDED", pod(number, 1, version=version, is_ready=False)),
            ("MODIFIED", pod(number, 1, version=version + 1)),
            ("MODIFIED", pod(number, 0, version=version + 2, is_ready=False)),
            ("DELETED", pod(number, 0, version=version + 3, is_ready=False)),
        )
        version += len(steps)
        for kind, one in steps:
            yield json.dumps({"type": kind, "object": one}).encode() + b"\n"


async def serve(port: int, count: int) -> None:
    """Be the API server."""
    items = [pod(number, 0, version=1) for number in range(count)]
    listed = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
    update = list(rolling_update(count))
    go, drop = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        for path, event in ((GO, go), (DROP, drop)):
            if request.path == path:
                event.set()
                return web.Response()
        if not request.path.endswith("/pods"):
            return web.Response(status=404)
        if request.query.get("watch") != "true":
            return web.Response(body=listed, content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        await go.wait()
        for start in range(0, len(update), 8):
            await response.write(b"".join(update[start : start + 8]))
        await drop.wait()
        gone = {"type": "DELETED", "object": pod(0, 1, version=10**6)}
        await response.write(json.dumps(gone).encode() + b"\n")
        await asyncio.Event().wait()
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def api_server(count: int) -> AsyncIterator[int]:
    """Run the API server as a process; yields its port, with ``KUBECONFIG`` leading there."""
    (port,) = free_ports(HOST, [0])
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, str(port), str(count))
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://{HOST}:{port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "c",
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config"
            file.write_text(yaml.safe_dump(config))
            os.environ["KUBECONFIG"] = str(file)  # noqa: TID251 - for what reads it
            for _ in range(200):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
            yield port
    finally:
        child.kill()
        await child.wait()


class Followed:
    """The pool as it is published, and the loop's longest wait."""

    def __init__(self) -> None:
        log = make_logger(0, stream=io.StringIO())
        self.store = Datastore(clock=time.monotonic, log=log, on_removed=lambda _endpoint: None)
        self.longest_lag_s = 0.0
        listeners = Listeners(self.take, lambda _policies: None, lambda: None, lambda _is_leader: None, lambda: False)
        wanted = Wanted(namespace="default", pool=PoolShape({"app": "vllm"}, [8000]), is_elected=False)
        metrics = Metrics(CollectorRegistry())
        self.cluster = Cluster(wanted, listeners, metrics=metrics, log=log, rng=random.Random(0))  # noqa: S311

    def take(self, specs: Sequence[EndpointSpec] | None) -> None:
        """Publish as the service does."""
        self.store.replace(specs or ())

    async def watch_loop(self) -> None:
        """Note how late the loop is."""
        while True:
            due_s = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.longest_lag_s = max(self.longest_lag_s, time.monotonic() - due_s)

    async def until(self, prefix: str, count: int) -> None:
        """Return when the pool is exactly so many pods of a generation."""
        while True:
            names = [endpoint.name for endpoint in self.store.endpoints()]
            if len(names) == count and all(name.startswith(prefix) for name in names):
                return
            await asyncio.sleep(TICK_S)


async def measure(count: int) -> tuple[float, float, float, float, float]:
    """Return CPU of the list, longest lag in it, both of the rolling update, and how long a pod stays, in seconds.

    The last is from the order to delete it, to a server in another process, to the pool without it.
    """
    async with api_server(count) as port:
        followed = Followed()
        async with connected():
            pass  # what is imported for it is imported before the picker is ready
        async with asyncio.TaskGroup() as group, followed.cluster.followed():
            watching = group.create_task(followed.watch_loop())
            begun_s = time.process_time()
            await followed.until("vllm-0-", count)
            listed_s, list_lag_s = time.process_time() - begun_s, followed.longest_lag_s
            await asyncio.sleep(0.5)
            followed.longest_lag_s, begun_s = 0.0, time.process_time()
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(f"GET {GO} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await followed.until("vllm-1-", count)
            rolled_s, roll_lag_s = time.process_time() - begun_s, followed.longest_lag_s
            await asyncio.sleep(0.5)
            begun_s = time.monotonic()
            writer.write(f"GET {DROP} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await followed.until("vllm-1-", count - 1)
            stays_s = time.monotonic() - begun_s
            writer.close()
            watching.cancel()
        return listed_s, list_lag_s, rolled_s, roll_lag_s, stays_s


async def main() -> int:
    """Print the table; 1 when something takes longer than it may."""
    listed_s, list_lag_s, *_ = await measure(LISTED)
    _, _, rolled_s, roll_lag_s, stays_s = await measure(REPLACED)
    print("| what | CPU ms | longest wait of the loop ms |\n|---|---|---|")
    print(f"| list of {LISTED} pods, to the pool | {listed_s * 1000:.0f} | {list_lag_s * 1000:.1f} |")
    print(f"| {REPLACED} pods replaced, {4 * REPLACED} events | {rolled_s * 1000:.0f} | {roll_lag_s * 1000:.1f} |")
    print(f"a pod that is deleted is out of a pool of {REPLACED} after {stays_s * 1000:.0f} ms")
    is_late = listed_s > LISTED_MAY_TAKE_S or max(list_lag_s, roll_lag_s) > LAG_MAY_BE_S or stays_s > STAYS_AT_MOST_S
    return int(is_late)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
    sys.exit(asyncio.run(main()))
