"""Where an endpoint's load comes from: a data source fetches its page, an extractor reads it."""

import enum
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from epp.plugin.endpoint import Endpoint, Load


class Sign(enum.Enum):
    """What a page that could not be had says about the endpoint itself."""

    ALIVE = enum.auto()
    """It answered, or nothing is known: it can serve, its load is not known."""
    SILENT = enum.auto()
    """It took the connection and did not answer in time: busy, or stuck."""
    UNREACHABLE = enum.auto()
    """There is no connection to it; once can be an accident."""
    REFUSED = enum.auto()
    """Nobody listens there: it cannot serve."""


class FetchError(Exception):
    """A page could not be had."""

    def __init__(self, reason: str, detail: str, *, sign: Sign = Sign.ALIVE) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        """One of ``refused``, ``connection``, ``tls``, ``http_status``, ``malformed``, ``too_large``, ``token``,
        ``local``; others are counted as ``other``."""
        self.detail = detail
        self.sign = sign


Fetch = Callable[[Endpoint], Awaitable[bytes]]
"""Returns an endpoint's page; raises `FetchError`."""


class DataSource(Protocol):
    """Fetches what endpoints tell about themselves.

    A source with an attribute ``interval_s`` (seconds, 0.05 or more) is asked at that interval, not at the picker's.
    """

    def open_pages(self) -> AbstractAsyncContextManager[Fetch]:
        """Return what fetches pages, with its connections, until the context closes.

        A page may take a second; one that takes longer is cancelled and counts as `Sign.SILENT`. A source that cannot
        be opened at all stops the picker.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a page says."""

    load: Load
    missing: Sequence[str] = ()
    """Names of the metrics that the page should have and has not."""


class Extractor(Protocol):
    """Reads an endpoint's load from its page."""

    def read_load(self, endpoint: Endpoint, page: bytes) -> Reading:
        """Return what the page says; an empty `Load` when it says nothing. Must bear with any bytes."""
        ...
