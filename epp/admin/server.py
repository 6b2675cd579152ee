"""The HTTP server on the metrics port."""

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from epp.admin.debug import Debug


class Admin:
    """Answers metrics and health."""

    def __init__(self, registry: CollectorRegistry, unmet: Callable[[], Sequence[str]], debug: Debug) -> None:
        """Take what says why the picker is not ready; nothing for one that is."""
        self._registry = registry
        self._unmet = unmet
        self._debug = debug

    def application(self) -> web.Application:
        """Return the routes, ready to be served."""
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        self._debug.add_to(application)
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        unmet = self._unmet()
        if not unmet:
            return web.Response(text="ok\n")
        return web.Response(text="".join(f"not yet: {need}\n" for need in unmet), status=503)
