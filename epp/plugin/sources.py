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
        """A label with few values, such as ``http_status``."""
        self.detail = detail
        self.sign = sign


Fetch = Callable[[Endpoint], Awaitable[bytes]]
"""Returns an endpoint's page; raises `FetchError`."""


class DataSource(Protocol):
    """Fetches what endpoints tell about themselves.

    A source with an attribute ``interval_s`` other than ``None`` is asked at that interval instead of the picker's.
    """

    def open(self) -> AbstractAsyncContextManager[Fetch]:
        """Return what fetches pages, with its connections, until the context closes."""
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
