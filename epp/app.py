"""The composition root of ``epp serve``: builds every object, owns every task, and decides the order of shutdown."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from structlog.typing import FilteringBoundLogger

from epp import __version__
from epp.admin import Admin
from epp.assembly import Assembly, Surroundings, assemble_text
from epp.datalayer import Datastore, Scraper
from epp.datalayer.load_book import HALF_LIFE_S
from epp.datalayer.static import parse_endpoints
from epp.director import Director, Reporting
from epp.director.parsing import ParserTable
from epp.extproc.grpc_server import ExtProcService, Limits, make_server, start_listening
from epp.extproc.health import Health
from epp.extproc.tls import server_credentials
from epp.observability import Metrics
from epp.observability.header_rules import is_header_name
from epp.observability.lifecycle_guards import GuardedDiscovery
from epp.observability.logs import REQUEST_VERBOSITY
from epp.plugin import ConfigurationError, Endpoint, EndpointSpec
from epp.serving import Stop, listening_http, raise_file_limit, stop_signal
from epp.settings import Settings

HEALTH_MESSAGE_BYTES = 4096
MESSAGE_OVERHEAD_BYTES = 1024 * 1024
"""What one ext_proc message may have beside a whole request body: headers, metadata, attributes."""
ENDING_S = 1.0
"""How long streams that are ended at the end of a drain may take for it."""
PAGES_IN_HALF_LIFE = 2
"""A metrics page counts half when two newer ones did not come."""
FIRST_ROUND_S = 1.5
"""How long readiness waits for the first scrape of every endpoint: one that hangs must not keep the rest waiting."""


async def serve(settings: Settings, log: FilteringBoundLogger) -> None:
    """Run the service until SIGTERM or SIGINT; raises `ConfigurationError` or `OSError` when it cannot start.

    Errors come in an `ExceptionGroup` when they happened beside running tasks.
    """
    raise_file_limit()
    stop = stop_signal()
    service = Service(settings, log, stop)
    async with service.running():
        await stop.wait()
    log.info("stopped")


class Service:
    """Every object of a running endpoint picker."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger, stop: Stop) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._random = random.Random()  # noqa: S311 - picks and jitter, not secrets
        self._is_ready = False
        _check(settings)
        self._metrics = _make_metrics()
        surroundings = Surroundings(metrics=self._metrics, log=log, random=self._random)
        self._assembly = _assemble(settings, surroundings)
        for note in self._assembly.notes:
            log.warning("config_note", path=note.path, message=note.message)
        self._specs = _static_endpoints(settings, self._assembly.discovery)
        self._pool_known = asyncio.Event()
        source = self._assembly.source
        interval_s = settings.refresh_metrics_interval if source.interval_s is None else source.interval_s
        self._datastore = Datastore(
            clock=time.monotonic,
            log=log,
            on_removed=self._forget,
            on_scraped=self._assembly.observers.on_scraped,
            on_lost=self._assembly.observers.on_endpoint_lost,
            half_life_s=max(HALF_LIFE_S, PAGES_IN_HALF_LIFE * interval_s),
        )
        self._scraper = Scraper(
            self._datastore,
            source=source,
            extractor=self._assembly.extractor,
            interval_s=interval_s,
            metrics=self._metrics,
            rng=self._random,
            log=log,
        )
        self._metrics.watch_pool(self._datastore)
        self._health = Health()
        self._ext_proc = ExtProcService(self._make_director(), limits=_limits(settings), metrics=self._metrics, log=log)
        self._credentials = server_credentials(settings.cert_path) if settings.secure_serving else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context is open.

        In: metrics, health (not ready), the pool, its first scrape beside the plugins' background work, the ext_proc
        port, and readiness last. Out: readiness first, then the streams in flight get their time, then everything else
        in reverse.
        """
        host, settings = self._settings.bind_address, self._settings
        admin = Admin(self._metrics.registry, lambda: self._is_ready).application()
        health = make_server(self._health.add_to, max_message_bytes=HEALTH_MESSAGE_BYTES)
        await self._set_ready(ready=False)
        async with (
            listening_http(admin, host=host, port=settings.metrics_port),
            _listening(health, _address(host, settings.grpc_health_port)),
            _background(self._find_pool()),
        ):
            await self._pool_known.wait()
            async with _background(self._scraper.run(), *(worker.run() for worker in self._assembly.workers)):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._scraper.wait_for_first_round(), FIRST_ROUND_S)
                async with self._serving_ext_proc(_address(host, settings.grpc_port)):
                    yield

    @contextlib.asynccontextmanager
    async def _serving_ext_proc(self, address: str) -> AsyncIterator[None]:
        """Answer gateways, and be ready, while the context is open."""
        settings = self._settings
        server = make_server(self._add_services, max_message_bytes=_max_message_bytes(settings))
        async with _listening(
            server,
            address,
            credentials=self._credentials,
            grace_s=settings.drain_timeout,
            after_grace=self._ext_proc.end_answered_streams,
        ):
            await self._set_ready(ready=True)
            endpoints = len(self._datastore.endpoints())
            self._log.info(
                "serving", version=__version__, address=address, tls=settings.secure_serving, endpoints=endpoints
            )
            try:
                yield
            finally:
                delay_s = 0.0 if self._stop.is_hurried else settings.drain_delay
                self._log.info("draining", delay_s=delay_s, timeout_s=settings.drain_timeout)
                await self._set_ready(ready=False)
                await self._stop.delay(settings.drain_delay)

    def _add_services(self, server: grpc.aio.Server) -> None:
        """Serve ext_proc, and health beside it: an Envoy that health-checks its cluster asks on the same port."""
        self._ext_proc.add_to(server)
        self._health.add_to(server)

    def _make_director(self) -> Director:
        assembly = self._assembly
        return Director(
            pool=self._datastore.endpoints,
            parsers=ParserTable(assembly.parsers),
            producers=assembly.producers,
            admitters=assembly.admitters,
            scheduler=assembly.scheduler,
            reporting=Reporting(
                observers=assembly.observers,
                metrics=self._metrics,
                clock=time.monotonic,
                take=self._datastore.routed,
                endpoint_header=self._settings.endpoint_response_header,
            ),
            rng=self._random,
            log=self._log,
            log_requests=self._settings.v >= REQUEST_VERBOSITY,
        )

    async def _find_pool(self) -> None:
        """Keep the pool up to date; that of the command line never changes."""
        if self._assembly.discovery is None:
            self._set_pool(self._specs)
        else:
            await self._assembly.discovery.run(self._set_pool)

    def _set_pool(self, specs: Sequence[EndpointSpec]) -> None:
        self._datastore.replace(specs)
        self._pool_known.set()

    def _forget(self, endpoint: Endpoint) -> None:
        self._assembly.observers.on_endpoint_removed(endpoint)
        self._metrics.endpoint_removed(endpoint)

    async def _set_ready(self, *, ready: bool) -> None:
        self._is_ready = ready
        await self._health.set_ready(ready=ready)


def _make_metrics() -> Metrics:
    """Return the service's metrics, with those of the process itself beside them."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # twice the series, which nobody reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Metrics(registry)


def _assemble(settings: Settings, surroundings: Surroundings) -> Assembly:
    """Build what the configuration says; raises `ConfigurationError`, each problem after the flag that it came by."""
    text, source = settings.config_text, "--config-text"
    if settings.config_file is not None:
        source = f"--config-file {settings.config_file}"
        try:
            text = Path(settings.config_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"{source}: cannot be read: {error}"]) from error
    try:
        return assemble_text(text, surroundings)
    except ConfigurationError as error:
        raise ConfigurationError([f"{source}: {problem}" for problem in error.problems]) from error


def _static_endpoints(settings: Settings, discovery: GuardedDiscovery | None) -> Sequence[EndpointSpec]:
    """Return the pool of the command line; raises `ConfigurationError` unless exactly one source names the pool."""
    if discovery is not None and settings.endpoint:
        raise ConfigurationError(["--endpoint and `dataLayer.discovery` both name the pool; use one of them"])
    if discovery is None and not settings.endpoint:
        raise ConfigurationError(
            ["nothing names the pool: give --endpoint HOST:PORT (repeatable), or `dataLayer.discovery` in the config"]
        )
    return parse_endpoints(settings.endpoint)


def _check(settings: Settings) -> None:
    """Raise `ConfigurationError` for what only fails once there is traffic."""
    header = settings.endpoint_response_header
    if header is not None and not is_header_name(header):
        raise ConfigurationError([f"--endpoint-response-header: `{header}` is no name of a header that can be set"])


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_request_body_bytes=settings.max_request_body_bytes,
        max_held_body_bytes=settings.max_held_body_bytes,
        stream_idle_timeout_s=settings.stream_idle_timeout,
    )


def _max_message_bytes(settings: Settings) -> int:
    """Return how large an ext_proc message may be: in BUFFERED mode a whole request body is one."""
    return settings.grpc_max_recv_msg_size or settings.max_request_body_bytes + MESSAGE_OVERHEAD_BYTES


def _address(host: str, port: int) -> str:
    """Return ``host:port`` as gRPC wants it: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.asynccontextmanager
async def _background(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run tasks while the context is open; one that fails ends the context: a service without it is broken."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def _listening(
    server: grpc.aio.Server,
    address: str,
    *,
    credentials: grpc.ServerCredentials | None = None,
    grace_s: float = 0,
    after_grace: Callable[[], None] | None = None,
) -> AsyncIterator[None]:
    """Serve while the context is open; afterwards what is in flight has ``grace_s`` to finish.

    Then ``after_grace`` is called, and what is still there soon after is cancelled.
    """
    await start_listening(server, address, credentials)
    try:
        yield
    finally:
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(server.stop(grace_s + ENDING_S if after_grace else grace_s))
            await asyncio.wait({stopping}, timeout=grace_s)
            if after_grace is not None and not stopping.done():
                after_grace()
