"""One JSON object a line on standard output."""

import contextlib
import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger

DEBUG_VERBOSITY = 4
REQUEST_VERBOSITY = 2
"""From here on one line is written for each request; ``--v=1`` keeps quiet about them."""


def make_logger(verbosity: int, *, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Return a bound logger at a verbosity of the Go pickers: 1 without requests, 2 a line a request, 4 debug.

    Writes to standard output unless it is given another stream.
    """
    level = logging.DEBUG if verbosity >= DEBUG_VERBOSITY else logging.INFO
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(stream or sys.stdout),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind()
    return logger


class _Lines:
    """Writes lines. A log that cannot be written any more must not fail the request that wrote to it.

    The first time, standard error says so.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._is_lost = stream is None

    def msg(self, line: str) -> None:
        """Write a line, unless the stream is gone."""
        if self._stream is None or self._is_lost:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._is_lost = True
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"epp: the log cannot be written any more: {error}\n")

    debug = info = warning = error = critical = log = msg


def adopt_library_logs(log: FilteringBoundLogger) -> None:
    """Send what libraries report through `logging` (warnings and worse) to the same stream in the same shape."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward(log)], force=True)


class _Forward(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(
            record.levelno, "library_message", logger=record.name, message=record.getMessage(), exc_info=record.exc_info
        )
