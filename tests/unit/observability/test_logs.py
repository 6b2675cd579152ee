"""The log is JSON lines, at the verbosity asked for, and never fails who writes to it."""

import io
import json
import logging

import pytest

from epp.observability import make_logger
from epp.observability.logs import adopt_library_logs


class Gone(io.StringIO):
    """A stream whose reader has died."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_is_one_json_line_with_level_and_time() -> None:
    stream = io.StringIO()
    make_logger(2, stream=stream).info("request_routed", endpoint="a")
    (line,) = lines_of(stream)
    assert (line["event"], line["level"], line["endpoint"]) == ("request_routed", "info", "a")
    assert "timestamp" in line


@pytest.mark.parametrize(("verbosity", "written"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)])
def test_debug_events_are_written_from_4_on(verbosity: int, written: int) -> None:
    stream = io.StringIO()
    make_logger(verbosity, stream=stream).debug("decision")
    assert len(lines_of(stream)) == written


def test_stream_that_is_gone_fails_nobody_and_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = make_logger(2, stream=Gone())
    log.info("one")
    log.bind(more=1).error("two", exc_info=ValueError("x"))
    assert capsys.readouterr().err == "epp: the log cannot be written any more: [Errno 32] Broken pipe\n"


def test_warnings_of_libraries_come_in_the_same_shape() -> None:
    stream = io.StringIO()
    before = logging.getLogger().handlers[:]
    adopt_library_logs(make_logger(2, stream=stream))
    logging.getLogger("aiohttp").warning("odd %s", "thing")
    logging.getLogger("aiohttp").info("quiet")
    logging.basicConfig(handlers=before, force=True)
    (line,) = lines_of(stream)
    assert (line["event"], line["logger"], line["message"]) == ("library_message", "aiohttp", "odd thing")
