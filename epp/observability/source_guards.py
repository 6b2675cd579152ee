"""Data sources and extractors behind their guards."""

import contextlib
from collections.abc import AsyncIterator

from epp.observability.guard import FAILED, Guard, PluginFaultError
from epp.plugin import DataSource, Endpoint, Extractor, Fetch, FetchError, Reading


class GuardedDataSource:
    """A data source whose failures are all `FetchError`."""

    def __init__(self, guard: Guard, one: DataSource) -> None:
        self._guard = guard
        self._open = one.open
        self.interval_s: float | None = getattr(one, "interval_s", None)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Fetch]:
        """Return what fetches pages; raises what the plugin raises when it cannot begin."""
        async with self._open() as fetch:

            async def guarded(endpoint: Endpoint) -> bytes:
                try:
                    return _page(await fetch(endpoint))
                except (FetchError, TimeoutError):
                    raise
                except Exception as failure:
                    self._guard.report("fetch", failure)
                    raise FetchError("internal", repr(failure)) from failure

            yield guarded


class GuardedExtractor:
    """An extractor that reads nothing when it fails."""

    def __init__(self, guard: Guard, one: Extractor) -> None:
        self._guard = guard
        self._read_load = one.read_load

    def read_load(self, endpoint: Endpoint, page: bytes) -> Reading:
        """Return what the plugin read; raises `FetchError` when it failed."""
        reading = self._guard.attempt("read_load", self._checked, endpoint, page)
        if reading is FAILED:
            raise FetchError("internal", "the extractor failed")
        return reading

    def _checked(self, endpoint: Endpoint, page: bytes) -> Reading:
        reading = self._read_load(endpoint, page)
        if not isinstance(reading, Reading):
            raise PluginFaultError(f"returned {type(reading).__name__} in place of Reading")
        return reading


def _page(page: object) -> bytes:
    if not isinstance(page, bytes):
        raise PluginFaultError(f"returned {type(page).__name__} in place of bytes")
    return page
