"""Endpoints that fail are avoided for a while, and then tried again.

A scrape notices a dead endpoint after a second or two; its answers tell sooner, and they tell of an engine whose
metrics page is well. An endpoint that takes connections and does not answer is avoided too, unless its answers to
requests show that it is only busy. Whoever lists candidates goes on with all of them when none would be left.
"""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from epp.plugin import Endpoint
from epp.plugin.endpoint import WARM_UP_S, Settling

FAILURES = 3
"""Failed answers, or pages without an answer, in a row before an endpoint is avoided: one may be an accident."""
FIRST_S = 1.0
LONGEST_S = 60.0
"""How long it is avoided: the first time, and at most; each time in a row twice as long."""
FIRST_FAILED_STATUS = 500
UNREACHED_STATUS = 503
"""What a gateway answers for an endpoint that it cannot reach."""


class Ejection:
    """Sets `Endpoint.avoided_until_s` and `Endpoint.warm_at_s` by what one endpoint answers."""

    def __init__(
        self, endpoint: Endpoint, settling: Settling, *, clock: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        self._endpoint = endpoint
        self._settling = settling
        self._clock = clock
        self._log = log
        self._failed_answers = 0
        self._silences = 0
        self._in_a_row = 0

    def answered(self, status: int | None) -> None:
        """Take note of an answer to a request; ``None`` for one without a status that makes sense."""
        if status is None:
            return
        if status < FIRST_FAILED_STATUS:
            self._failed_answers = self._silences = self._in_a_row = 0
            return
        self._failed_answers += 1
        self._judge(self._failed_answers, f"status {status}")

    def silent(self) -> None:
        """Take note that its metrics page was asked for, and no answer came."""
        self._silences += 1
        self._judge(self._silences, "silent")

    def spoke(self) -> None:
        """Take note that its metrics page was answered: it is not stuck any more."""
        if self._silences and self._failed_answers < FAILURES:
            self._endpoint.avoided_until_s = min(self._endpoint.avoided_until_s, self._clock())
            self._in_a_row = 0
        self._silences = 0

    def begin(self) -> None:
        """Take note that it is there, or there again: nothing tells against it, and its share grows from now on."""
        now_s = self._clock()
        self._failed_answers = self._silences = self._in_a_row = 0
        self._endpoint.avoided_until_s = min(self._endpoint.avoided_until_s, now_s)
        self._warm_at(now_s + WARM_UP_S)

    def _judge(self, failures: int, reason: str) -> None:
        """Avoid the endpoint for a while; those answers that were under way already make it no longer."""
        now_s = self._clock()
        if failures < FAILURES or now_s < self._endpoint.avoided_until_s:
            return
        for_s = min(FIRST_S * 2**self._in_a_row, LONGEST_S)
        self._in_a_row += for_s < LONGEST_S
        self._endpoint.avoided_until_s = now_s + for_s
        self._warm_at(now_s + for_s + WARM_UP_S)
        self._endpoint.ejections += 1
        self._log.warning("endpoint_ejected", endpoint=self._endpoint.key, reason=reason, for_s=for_s)

    def _warm_at(self, moment_s: float) -> None:
        self._endpoint.warm_at_s = moment_s
        self._settling.lasts(moment_s)
