"""The composition root of ``epp serve``: builds every object, owns every task, and decides the order of shutdown."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from structlog.typing import FilteringBoundLogger

from epp import __version__
from epp.admin import AdminServer
from epp.assembly import Assembly, assemble
from epp.config import DEFAULT_CONFIG, read_config
from epp.datalayer import Datastore, Scraper
from epp.datalayer.static import parse_endpoints
from epp.director import Director
from epp.director.parsing import ParserTable
from epp.extproc.grpc_server import ExtProcService, make_server, start_listening
from epp.extproc.health import Health
from epp.extproc.tls import server_credentials
from epp.observability import Guard, Metrics
from epp.observability.logs import REQUEST_VERBOSITY
from epp.plugin import ConfigurationError, Discovery, Endpoint, EndpointSpec, PluginContext
from epp.registry import Registry
from epp.settings import Settings

FIRST_ROUND_S = 1.5
"""How long readiness waits for the first scrape of every endpoint: one that hangs must not keep the rest waiting."""


async def serve(settings: Settings, log: FilteringBoundLogger) -> None:
    """Run the picker until SIGTERM or SIGINT; raises `ConfigurationError` or `OSError` when it cannot start.

    Errors come in an `ExceptionGroup` when they happened beside running tasks.
    """
    picker = Picker(settings, log)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with picker.running():
        await stop.wait()
    log.info("stopped")


def assemble_text(text: str | None, *, metrics: Metrics, log: FilteringBoundLogger) -> Assembly:
    """Build the plugins of a configuration, of the default one for ``None``; raises `ConfigurationError`."""
    config, problems = (DEFAULT_CONFIG, []) if text is None else read_config(text)
    rng = random.Random()  # noqa: S311 - picks, not secrets

    def context(name: str) -> PluginContext:
        return PluginContext(
            name=name, clock=time.monotonic, random=rng, log=log.bind(plugin=name), metrics=metrics.registry
        )

    def guard(name: str) -> Guard:
        return Guard(name, metrics=metrics, log=log)

    return assemble(config, registry=Registry.installed(), context=context, guard=guard, problems=problems)


def make_metrics() -> Metrics:
    """Return the picker's metrics, with those of the process itself beside them."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # twice the series, which nobody reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Metrics(registry)


class Picker:
    """Every object of a running picker."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger) -> None:
        self._settings = settings
        self._log = log
        self._is_ready = False
        self._metrics = make_metrics()
        self._assembly = assemble_text(_config_text(settings), metrics=self._metrics, log=log)
        self._specs = _initial_endpoints(settings, self._assembly.discovery)
        self._datastore = Datastore(clock=time.monotonic, log=log, on_removed=self._forget)
        self._metrics.watch_pool(self._datastore.endpoints, self._datastore.scrape_age_s)
        self._health = Health()
        self._service = ExtProcService(self._make_director(), metrics=self._metrics, log=log)
        self._credentials = server_credentials(settings.cert_path) if settings.secure_serving else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context is open.

        In: metrics, health (not ready), the pool, its first scrape, the ext_proc port, and readiness last. Out:
        readiness first, then the streams in flight get their time, then everything else in reverse.
        """
        host, settings = self._settings.bind_address, self._settings
        admin = AdminServer(
            host=host, port=settings.metrics_port, registry=self._metrics.registry, is_ready=lambda: self._is_ready
        )
        health_server, ext_proc_server = make_server(self._health.add_to), make_server(self._service.add_to)
        async with admin, _listening(health_server, f"{host}:{settings.grpc_health_port}"):
            await self._set_ready(ready=False)
            async with _background(self._data_layer_tasks()):
                await self._wait_for_first_round()
                address = f"{host}:{settings.grpc_port}"
                async with _listening(
                    ext_proc_server, address, credentials=self._credentials, grace_s=settings.drain_timeout
                ):
                    await self._set_ready(ready=True)
                    self._log.info(
                        "serving",
                        version=__version__,
                        address=address,
                        tls=settings.secure_serving,
                        endpoints=len(self._datastore.endpoints()),
                    )
                    try:
                        yield
                    finally:
                        self._log.info("draining", timeout_s=settings.drain_timeout)
                        await self._set_ready(ready=False)

    def _make_director(self) -> Director:
        assembly = self._assembly
        return Director(
            pool=self._datastore.endpoints,
            parsers=ParserTable(assembly.parsers),
            producers=assembly.producers,
            scheduler=assembly.scheduler,
            observers=assembly.observers,
            metrics=self._metrics,
            clock=time.monotonic,
            log=self._log,
            log_requests=self._settings.v >= REQUEST_VERBOSITY,
        )

    def _forget(self, endpoint: Endpoint) -> None:
        self._assembly.observers.on_endpoint_removed(endpoint)
        self._metrics.endpoint_removed(endpoint)

    def _data_layer_tasks(self) -> list[Coroutine[None, None, None]]:
        self._scraper = Scraper(
            self._datastore,
            interval_s=self._settings.refresh_metrics_interval,
            metrics=self._metrics,
            rng=random.Random(),  # noqa: S311 - jitter, not secrets
            log=self._log,
        )
        self._datastore.replace(self._specs)
        tasks = [self._scraper.run()]
        if self._assembly.discovery is not None:
            tasks.append(self._assembly.discovery.watch(self._datastore.replace))
        return tasks

    async def _wait_for_first_round(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._scraper.wait_for_first_round(), FIRST_ROUND_S)

    async def _set_ready(self, *, ready: bool) -> None:
        self._is_ready = ready
        await self._health.set_ready(ready=ready)


def _config_text(settings: Settings) -> str | None:
    if settings.config_file is None or settings.config_text is not None:
        return settings.config_text
    try:
        return Path(settings.config_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"--config-file {settings.config_file}: cannot be read: {error}"]) from error


def _initial_endpoints(settings: Settings, discovery: Discovery | None) -> Sequence[EndpointSpec]:
    """Return the pool at start; raises `ConfigurationError` unless exactly one source names it."""
    if discovery is not None and settings.endpoint:
        raise ConfigurationError(["--endpoint and `dataLayer.discovery` both name the pool; use one of them"])
    if discovery is not None:
        return discovery.load()
    if not settings.endpoint:
        message = (
            "nothing names the pool: give --endpoint HOST:PORT (repeatable), or `dataLayer.discovery` in the config"
        )
        raise ConfigurationError([message])
    return parse_endpoints(settings.endpoint)


@contextlib.asynccontextmanager
async def _background(coroutines: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run tasks while the context is open; one that fails ends the context, because a picker without it is broken."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def _listening(
    server: grpc.aio.Server, address: str, *, credentials: grpc.ServerCredentials | None = None, grace_s: float = 0
) -> AsyncIterator[None]:
    """Serve while the context is open; afterwards what is in flight has ``grace_s`` to finish."""
    await start_listening(server, address, credentials)
    try:
        yield
    finally:
        await server.stop(grace_s)
