"""The composition root of ``epp serve``: builds every object, owns every task, and decides the order of shutdown."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from epp import __version__
from epp.admin import Admin, Debug
from epp.assembled import Surroundings
from epp.datalayer import Datastore, Scraper
from epp.datalayer.load_book import HALF_LIFE_S
from epp.datalayer.static import parse_endpoints
from epp.director import Director, Reporting
from epp.director.decisions import DecisionLog
from epp.director.parsing import ParserTable
from epp.director.policies import Policies, policies_of
from epp.director.shadow import Shadow
from epp.extproc.health import Health
from epp.extproc.rpc import Server
from epp.extproc.service import ExtProcService
from epp.extproc.tls import certificate_of
from epp.extproc.transport import Transport, chosen, make_server
from epp.kube.cluster import Cluster, Listeners
from epp.live import LiveConfig
from epp.observability.logs import REQUEST_VERBOSITY
from epp.plugin import Endpoint, EndpointSpec
from epp.plugin.endpoint import Settling
from epp.readiness import Need, Readiness
from epp.reloading import Changes, Reloader
from epp.serving import Stop, address, background, freeze_memory, listening_http, raise_file_limit, stop_signal
from epp.settings import Settings
from epp.starting import check, limits, make_metrics, max_message_bytes, wanted_of_cluster

HEALTH_MESSAGE_BYTES = 4096
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
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, partial(log.info, "nothing_to_reload"))
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
        check(settings)
        self._metrics = make_metrics()
        settling = Settling(until_s=0.0)
        surroundings = Surroundings(metrics=self._metrics, log=log, random=self._random, settling=settling)
        self._live = LiveConfig(settings, surroundings, log)
        self._decisions = DecisionLog()
        self._policies = Policies(self._random)
        self._health = Health()
        self._readiness = Readiness(
            lambda is_ready: self._health.set_ready(ready=is_ready),
            {Need.SERVING, Need.POOL} | ({Need.LEADERSHIP} if settings.ha_enable_leader_election else set()),
        )
        self._cluster = self._make_cluster()
        self._pool_known = asyncio.Event()
        source = self._live.assembly.source
        interval_s = settings.refresh_metrics_interval if source.interval_s is None else source.interval_s
        self._datastore = Datastore(
            clock=time.monotonic,
            log=log,
            on_removed=self._forget,
            on_scraped=self._live.on_scraped,
            on_lost=self._live.on_lost,
            half_life_s=max(HALF_LIFE_S, PAGES_IN_HALF_LIFE * interval_s),
            settling=settling,
        )
        self._scraper = Scraper(
            self._datastore,
            source=source,
            extractor=self._live.assembly.extractor,
            interval_s=interval_s,
            metrics=self._metrics,
            rng=self._random,
            log=log,
        )
        self._metrics.watch_pool(self._datastore)
        self._ext_proc = ExtProcService(self._make_director(), limits=limits(settings), metrics=self._metrics, log=log)
        self._certificate = certificate_of(settings.cert_path) if settings.secure_serving else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context is open.

        In: metrics, health (not ready), the pool, its first scrape beside the plugins' background work, the ext_proc
        port, and readiness last. Out: readiness first, then the streams in flight get their time, then everything else
        in reverse.
        """
        host, settings = self._settings.bind_address, self._settings
        debug = Debug(self._decisions, self._datastore.endpoints)
        admin = Admin(self._metrics.registry, lambda: self._readiness.unmet, debug).application()
        health = make_server(
            Transport(settings.transport),
            self._health.methods,
            certificate=None,
            max_message_bytes=HEALTH_MESSAGE_BYTES,
        )
        async with (
            listening_http(admin, host=host, port=settings.metrics_port),
            _listening(health, host, settings.grpc_health_port),
            self._finding_pool(),
        ):
            if not await self._stop.is_later_than(self._pool_known):
                yield
                return
            async with background(self._scraper.run(), self._live.workers.run(), *self._following()):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._scraper.wait_for_first_round(), FIRST_ROUND_S)
                freeze_memory()
                async with self._serving_ext_proc():
                    yield

    @contextlib.asynccontextmanager
    async def _serving_ext_proc(self) -> AsyncIterator[None]:
        """Answer gateways, and be ready, while the context is open.

        Health is served beside ext_proc: an Envoy that health-checks its cluster asks on the same port.
        """
        settings = self._settings
        server = make_server(
            Transport(settings.transport),
            {**self._ext_proc.methods, **self._health.methods},
            certificate=self._certificate,
            max_message_bytes=max_message_bytes(settings),
        )
        async with _listening(
            server,
            settings.bind_address,
            settings.grpc_port,
            grace_s=settings.drain_timeout,
            after_grace=self._ext_proc.end_answered_streams,
        ):
            self._readiness.note(Need.SERVING, is_met=True)
            endpoints = len(self._datastore.endpoints())
            self._log.info(
                "serving",
                version=__version__,
                address=address(settings.bind_address, settings.grpc_port),
                transport=chosen(Transport(settings.transport)).value,
                tls=settings.secure_serving,
                endpoints=endpoints,
            )
            try:
                yield
            finally:
                delay_s = 0.0 if self._stop.is_hurried else settings.drain_delay
                self._log.info("draining", delay_s=delay_s, timeout_s=settings.drain_timeout)
                self._readiness.note(Need.SERVING, is_met=False)
                if self._cluster is not None:
                    await self._cluster.resign()
                await self._stop.delay(settings.drain_delay)

    def _make_director(self) -> Director:
        assembly = self._live.assembly
        self._policies.use_file(policies_of(assembly.config))
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
            decisions=self._decisions,
            shadow=self._make_shadow(),
            policies=self._policies,
            uses_subset=not self._settings.disable_endpoint_subset_filter,
        )

    def _make_shadow(self) -> Shadow | None:
        shadow = self._live.assembly.shadow
        if shadow is None:
            return None
        return Shadow(shadow.profile, shadow.sample_ratio, metrics=self._metrics, rng=self._random)

    def _following(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what follows the configuration file, where there is one."""
        if self._settings.config_file is None:
            return ()
        path = Path(self._settings.config_file)
        if not path.is_file():
            self._log.warning("config_not_followed", file=str(path), reason="it is no regular file")
            return ()
        reloader = Reloader(path, self._live.text, apply=self._reload, metrics=self._metrics, log=self._log)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.ask)
        return (reloader.run(),)

    def _reload(self, text: str) -> Changes:
        """Decide requests by another configuration from now on; raises `ConfigurationError`."""
        changes = self._live.replace(text)
        self._ext_proc.director = self._make_director()
        return changes

    def _make_cluster(self) -> Cluster | None:
        """Return what follows Kubernetes, where that has the pool; raises `ConfigurationError`."""
        wanted = wanted_of_cluster(self._settings)
        if wanted is None or self._live.assembly.discovery is not None:
            return None
        self._readiness.note(Need.POLICIES, is_met=False)
        listeners = Listeners(
            publish=self._set_pool,
            use_policies=self._policies.use_cluster,
            policies_settled=lambda: self._readiness.note(Need.POLICIES, is_met=True),
            lead=lambda is_leader: self._readiness.note(Need.LEADERSHIP, is_met=is_leader),
            is_warm=lambda: self._readiness.is_met_but(Need.LEADERSHIP),
        )
        return Cluster(wanted, listeners, metrics=self._metrics, log=self._log, rng=self._random)

    @contextlib.asynccontextmanager
    async def _finding_pool(self) -> AsyncIterator[None]:
        """Keep the pool up to date while the context is open; that of the command line never changes."""
        discovery = self._live.assembly.discovery
        if self._cluster is not None:
            async with self._cluster.followed():
                yield
        elif discovery is not None:
            async with background(discovery.run(self._set_pool)):
                yield
        else:
            self._set_pool(parse_endpoints(self._settings.endpoint))
            yield

    def _set_pool(self, specs: Sequence[EndpointSpec] | None) -> None:
        """Take the pool; ``None``: it does not exist."""
        self._datastore.replace(specs or ())
        self._readiness.note(Need.POOL, is_met=specs is not None)
        if specs is not None:
            self._pool_known.set()

    def _forget(self, endpoint: Endpoint) -> None:
        self._live.on_removed(endpoint)
        self._metrics.endpoint_removed(endpoint)


@contextlib.asynccontextmanager
async def _listening(
    server: Server,
    host: str,
    port: int,
    *,
    grace_s: float = 0,
    after_grace: Callable[[], None] | None = None,
) -> AsyncIterator[None]:
    """Serve while the context is open; afterwards what is in flight has ``grace_s`` to finish.

    Then ``after_grace`` is called, and what is still there soon after is cancelled.
    """
    await server.start(host, port)
    try:
        yield
    finally:
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(server.stop(grace_s + ENDING_S if after_grace else grace_s))
            await asyncio.wait({stopping}, timeout=grace_s)
            if after_grace is not None and not stopping.done():
                after_grace()
