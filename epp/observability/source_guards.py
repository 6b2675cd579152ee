"""Data sources and extractors behind their guards."""

import contextlib
from collections.abc import AsyncIterator

from epp.observability.guard import FAILED, Guard, PluginFaultError, not_cancelled_by_itself
from epp.plugin import ConfigurationError, DataSource, Endpoint, Extractor, Fetch, FetchError, Reading

REASONS = frozenset(
    {"refused", "connection", "tls", "http_status", "malformed", "too_large", "token", "local", "timeout"}
)
"""What a source may call its failures; in the metrics everything else is ``other``."""
MIN_INTERVAL_S = 0.05
"""As in the Go pickers, pages are asked for no more often."""
COUNTS = ("waiting", "running", "block_size_tokens", "block_count", "prefix_queried_tokens", "prefix_hit_tokens")
"""Numbers of `Load` that are counts."""


class GuardedDataSource:
    """A data source whose failures are all `FetchError`, or a `TimeoutError` of its own."""

    def __init__(self, guard: Guard, one: DataSource) -> None:
        """Raise `ConfigurationError` for an interval that makes no sense."""
        self._guard = guard
        self._open_pages = one.open_pages
        self.interval_s = _interval_s(guard.plugin, getattr(one, "interval_s", None))

    @contextlib.asynccontextmanager
    async def open_pages(self) -> AsyncIterator[Fetch]:
        """Return what fetches pages; raises what the plugin raises when it cannot begin."""
        async with self._open_pages() as fetch:

            async def guarded(endpoint: Endpoint) -> bytes:
                try:
                    return _page(await not_cancelled_by_itself(fetch(endpoint)))
                except FetchError as error:
                    error.reason = error.reason if error.reason in REASONS else "other"
                    raise
                except TimeoutError:
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
        for name in COUNTS:
            count = getattr(reading.load, name)
            if count is not None and not (type(count) is int and count >= 0):
                raise PluginFaultError(f"read {count!r} as {name}, which is a number of 0 or more")
        ratio = reading.load.kv_cache_ratio
        if ratio is not None and (type(ratio) not in {int, float} or not 0 <= ratio <= 1):
            raise PluginFaultError(f"read {ratio!r} as kv_cache_ratio, which is from 0 to 1")
        return reading


def _interval_s(plugin: str, value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and value >= MIN_INTERVAL_S):
        return value
    raise ConfigurationError([f"data source `{plugin}`: interval_s must be {MIN_INTERVAL_S} or more, not {value!r}"])


def _page(page: object) -> bytes:
    if not isinstance(page, bytes):
        raise PluginFaultError(f"returned {type(page).__name__} in place of bytes")
    return page
