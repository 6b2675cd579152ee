"""Endpoints that fail are avoided for a while, and then tried again.

A scrape notices a dead endpoint after a second or two; its answers tell sooner, and they tell of an engine whose
metrics page is well. Whoever lists candidates goes on with all of them when none would be left.
"""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from epp.plugin import Endpoint

FAILURES = 3
"""Failed answers in a row before an endpoint is avoided: one may be the request's own fault."""
FIRST_S = 1.0
LONGEST_S = 60.0
"""How long it is avoided: the first time, and at most; each time in a row twice as long."""
FIRST_FAILED_STATUS = 500


class Ejection:
    """Sets `Endpoint.avoided_until_s` from the answers that one endpoint gives."""

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float], log: FilteringBoundLogger) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._log = log
        self._failures = 0
        self._in_a_row = 0

    def answered(self, status: int | None) -> None:
        """Take note of an answer; ``None`` for one without a status that makes sense."""
        if status is None:
            return
        if status < FIRST_FAILED_STATUS:
            self._failures = self._in_a_row = 0
            return
        self._failures += 1
        now_s = self._clock()
        if self._failures >= FAILURES and now_s >= self._endpoint.avoided_until_s:
            self._avoid(now_s, status)

    def _avoid(self, now_s: float, status: int) -> None:
        """Avoid the endpoint for a while; those answers that were under way already make it no longer."""
        for_s = min(FIRST_S * 2**self._in_a_row, LONGEST_S)
        self._in_a_row = min(self._in_a_row + 1, 16)
        self._endpoint.avoided_until_s = now_s + for_s
        self._endpoint.ejections += 1
        self._log.warning("endpoint_ejected", endpoint=self._endpoint.key, status=status, for_s=for_s)
