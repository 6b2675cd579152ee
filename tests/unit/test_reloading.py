"""A configuration file is followed: applied when it is whole and valid, refused otherwise."""

import asyncio
import io
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import pytest
from prometheus_client import CollectorRegistry

from epp.observability import Metrics, make_logger
from epp.observability.guard import Guard
from epp.observability.lifecycle_guards import GuardedWorker
from epp.plugin import ConfigurationError
from epp.plugin.testing import make_context
from epp.reloading import POLL_S, Changes, Reloader, Workers
from tests.fakes import virtual_time
from tests.fakes.picker import value_of


class Applied:
    """Notes what it is given; refuses what says so."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> Changes:
        self.texts.append(text)
        if text.startswith("bad"):
            raise ConfigurationError([text])
        if text.startswith("odd"):
            raise TypeError("a plugin's own")
        return CHANGES.get(text, Changes())


CHANGES = {
    "weights": Changes(profiles=["default: a 1 -> 2"], sections=["shadow: added"]),
    "comment": Changes(is_alike=True),
    "source": Changes(needs_restart=["dataLayer: pages"]),
}
NOTHING: dict[str, list[str]] = {"added": [], "removed": [], "changed": [], "profiles": [], "sections": []}


def follow(
    path: Path, steps: Callable[[Reloader], Awaitable[None]], *, log: TextIO | None = None
) -> tuple[list[str], Metrics]:
    """Follow a file that holds "first" while steps are taken; returns what was tried, and the metrics."""
    path.write_text("first")
    applied, metrics = Applied(), Metrics(CollectorRegistry())
    reloader = Reloader(path, "first", apply=applied, metrics=metrics, log=make_logger(2, stream=log or io.StringIO()))

    async def main() -> None:
        task = asyncio.create_task(reloader.run())  # noqa: TID251 - cancelled below
        await asyncio.sleep(POLL_S / 2)
        await steps(reloader)
        task.cancel()

    virtual_time.run(main())
    return applied.texts, metrics


def told(path: Path, *texts: str) -> list[dict[str, Any]]:
    """Return what the log says, without what all lines have, when the file becomes one text after the other."""
    stream = io.StringIO()

    async def steps(_: Reloader) -> None:
        for text in texts:
            path.write_text(text)  # noqa: ASYNC240 - a few bytes
            await polls(4)

    follow(path, steps, log=stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{key: line[key] for key in line if key not in {"timestamp", "level", "file"}} for line in lines]


async def polls(count: int) -> None:
    """Wait until the file was looked at so often."""
    await asyncio.sleep(POLL_S * count)


def test_file_that_has_changed_and_stays_so_is_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        path.write_text("second")
        await polls(5)

    texts, metrics = follow(path, steps)
    assert texts == ["second"]
    assert value_of(metrics, "epp_config_reloads_total", result="applied") == 1


def test_file_that_is_being_written_is_left_until_it_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        for piece in ("se", "seco", "second"):
            path.write_text(piece)
            await polls(1)
        await polls(3)

    assert follow(path, steps)[0] == ["second"]


def test_broken_file_is_refused_once_and_leaves_what_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        path.write_text("bad")
        await polls(5)

    texts, metrics = follow(path, steps)
    assert texts == ["bad"]
    assert value_of(metrics, "epp_config_reloads_total", result="refused") == 1
    assert value_of(metrics, "epp_config_is_current") == 0


def test_file_whose_plugins_break_in_ways_of_their_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        for text in ("odd", "second"):
            path.write_text(text)
            await polls(3)

    assert follow(path, steps)[0] == ["odd", "second"]


def test_file_that_is_mended_is_current_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        for text in ("bad", "first"):
            path.write_text(text)
            await polls(4)

    texts, metrics = follow(path, steps)
    assert texts == ["bad"]
    assert value_of(metrics, "epp_config_is_current") == 1


def test_log_says_what_has_changed(tmp_path: Path) -> None:
    (line,) = told(tmp_path / "config.yaml", "weights")
    said = {"profiles": ["default: a 1 -> 2"], "sections": ["shadow: added"]}
    assert line == {"event": "config_reloaded", **NOTHING, **said}


def test_log_says_that_nothing_has_changed(tmp_path: Path) -> None:
    (line,) = told(tmp_path / "config.yaml", "comment")
    assert line == {"event": "config_reloaded", **NOTHING, "note": "nothing but comments and layout has changed"}


def test_log_says_what_needs_a_restart_until_it_does_not_any_more(tmp_path: Path) -> None:
    lines = told(tmp_path / "config.yaml", "source", "second")
    assert lines == [
        {"event": "config_reloaded", **NOTHING},
        {"event": "config_needs_restart", "sections": ["dataLayer: pages"]},
        {"event": "config_reloaded", **NOTHING},
        {"event": "config_needs_no_restart", "reason": "what was to change is again as it is in use"},
    ]


def test_log_says_that_a_broken_file_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert told(path, "bad", "first") == [
        {
            "event": "config_refused",
            "problems": ["bad"],
            "kept": "the last good configuration",
            "places": f"epp check-config {path}",
        },
        {"event": "config_mended", "reason": "the file is again what is in use"},
    ]


def test_file_that_is_gone_or_unreadable_is_refused_and_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(_: Reloader) -> None:
        path.unlink()
        await polls(3)
        path.write_bytes(b"\xff")
        await polls(3)
        path.unlink()
        os.mkfifo(path)
        await polls(3)
        path.unlink()
        path.write_text("second")
        await polls(3)

    texts, metrics = follow(path, steps)
    assert texts == ["second"]
    assert value_of(metrics, "epp_config_reloads_total", result="refused") == 3


def test_symbolic_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """So a ConfigMap changes in a pod."""
    path, link = tmp_path / "config.yaml", tmp_path / "..data"

    async def steps(_: Reloader) -> None:
        path.unlink()
        (tmp_path / "new").write_text("second")
        link.symlink_to("new")
        path.symlink_to("..data")
        await polls(4)

    assert follow(path, steps)[0] == ["second"]


def test_who_asks_has_the_file_tried_at_once_and_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def steps(reloader: Reloader) -> None:
        path.write_text("bad")
        for _ in range(2):
            reloader.ask()
            await polls(1)

    assert follow(path, steps)[0] == ["bad", "bad"]


class Counts:
    """A background worker that notes how often it began and was stopped."""

    def __init__(self) -> None:
        self.begun = self.stopped = 0

    async def run_in_background(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped += 1


@pytest.mark.parametrize("is_running", [True, False])
def test_worker_that_stays_is_not_interrupted(is_running: bool) -> None:  # noqa: FBT001 - a table
    kept, dropped, new = Counts(), Counts(), Counts()
    context = make_context()
    guard = Guard("w", metrics=Metrics(context.metrics.registry), log=context.log)

    async def main() -> None:
        workers = Workers()
        workers.use([GuardedWorker(guard, kept), GuardedWorker(guard, dropped)])
        task = asyncio.create_task(workers.run())  # noqa: TID251 - cancelled below
        await asyncio.sleep(float(is_running))
        workers.use([GuardedWorker(guard, kept), GuardedWorker(guard, new)])
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    virtual_time.run(main())
    assert (kept.begun, kept.stopped) == (1, 1)
    assert (dropped.begun, dropped.stopped) == ((1, 1) if is_running else (0, 0))
    assert (new.begun, new.stopped) == (1, 1)


class FailsToEnd:
    """A background worker whose cleaning up fails; it cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.begun = 0

    def __eq__(self, other: object) -> bool:
        return self is other

    async def run_in_background(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("cannot clean up")


def test_worker_that_fails_while_it_is_to_end_is_not_begun_again() -> None:
    one, context = FailsToEnd(), make_context()
    guard = Guard("w", metrics=Metrics(context.metrics.registry), log=context.log)

    async def main() -> None:
        workers = Workers()
        workers.use([GuardedWorker(guard, one)])
        task = asyncio.create_task(workers.run())  # noqa: TID251 - cancelled below
        await asyncio.sleep(1)
        workers.use([])
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.wait([task])

    virtual_time.run(main())
    assert one.begun == 1
