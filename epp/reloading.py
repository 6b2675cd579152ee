"""Follows the configuration file: what it says now is checked, and replaces what was, whole, between two requests."""

import asyncio
import contextlib
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from epp.config.places import command_for
from epp.observability import Metrics
from epp.observability.lifecycle_guards import GuardedWorker
from epp.plugin import ConfigurationError

POLL_S = 1.0
"""How often the file is looked at. A ConfigMap changes by a symbolic link, which no watch on the file itself sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The differences of two configurations; plugins that are alike live on."""

    added: Sequence[str] = field(default_factory=list)
    """Plugins, by name."""
    removed: Sequence[str] = field(default_factory=list)
    changed: Sequence[str] = field(default_factory=list)
    profiles: Sequence[str] = field(default_factory=list)
    """Such as ``default: queue-scorer 2 -> 3``, or ``next: added``."""
    sections: Sequence[str] = field(default_factory=list)
    """The same of all other sections, such as ``shadow.sampleRatio: 0.1 -> 0.2``."""
    needs_restart: Sequence[str] = field(default_factory=list)
    """What takes effect only then, and is not among the others."""
    is_alike: bool = False
    """Whether nothing but comments and layout differs."""


class Reloader:
    """Applies the file whenever it has changed, or when asked to; one that is broken changes nothing."""

    def __init__(
        self,
        path: Path,
        applied: str | None,
        *,
        apply: Callable[[str], Changes],
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        """Take the text that is in use, and what makes another one so; that raises `ConfigurationError` or nothing."""
        self._path = path
        self._applied = applied
        self._refused: str | None = None
        self._seen: str | None = None
        self._needs_restart = False
        self._apply = apply
        self._metrics = metrics
        self._log = log.bind(file=str(path))
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Look at the file at once, and try it even if it was refused before."""
        self._asked.set()

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), POLL_S)
            is_asked = self._asked.is_set()
            self._asked.clear()
            self._look(is_asked=is_asked)

    def _look(self, *, is_asked: bool) -> None:
        """Read the file: a few kilobytes, in a pod from memory."""
        try:
            text = _read(self._path)
        except (OSError, UnicodeDecodeError) as error:
            self._refuse(f"\0{error}", [f"cannot be read: {error}"], is_asked=is_asked)
        else:
            self._look_at(text, is_asked=is_asked)

    def _look_at(self, text: str, *, is_asked: bool) -> None:
        is_whole, self._seen = text == self._seen, text
        if text == self._applied:
            if is_asked:
                self._log.info("config_unchanged")
            if self._refused is not None:
                self._refused = None
                self._metrics.config_loaded(is_current=True)
                self._log.info("config_mended", reason="the file is again what is in use")
            return
        if not is_asked and (text == self._refused or not is_whole):
            return  # it is being written, perhaps: it has to be the same twice
        try:
            changes = self._apply(text)
        except ConfigurationError as error:
            problems = [str(problem) for problem in error.problems]
            self._refuse(text, problems, is_asked=is_asked, places=command_for(self._path))
            return
        except Exception as fault:  # noqa: BLE001 - third-party code that is looked at: named, and what is in use stays
            self._log.error("config_reload_failed", error=repr(fault), exc_info=fault)
            self._refuse(text, [f"cannot be used: {fault!r}"], is_asked=is_asked)
            return
        self._applied, self._refused = text, None
        self._metrics.config_reloaded(result="applied")
        self._metrics.config_loaded(is_current=True)
        self._tell(changes)

    def _tell(self, changes: Changes) -> None:
        said: dict[str, object] = {
            name: list(getattr(changes, name)) for name in ("added", "removed", "changed", "profiles", "sections")
        }
        if changes.is_alike:
            said["note"] = "nothing but comments and layout has changed"
        self._log.info("config_reloaded", **said)
        if changes.needs_restart:
            self._log.warning("config_needs_restart", sections=list(changes.needs_restart))
        elif self._needs_restart:
            self._log.info("config_needs_no_restart", reason="what was to change is again as it is in use")
        self._needs_restart = bool(changes.needs_restart)

    def _refuse(self, what: str, problems: Sequence[str], *, is_asked: bool, **more: str) -> None:
        """Keep what is in use; says so, and ``more``, once for each broken file and whenever it was asked."""
        if what == self._refused and not is_asked:
            return
        self._refused = what
        self._metrics.config_reloaded(result="refused")
        self._metrics.config_loaded(is_current=False)
        self._log.error("config_refused", problems=problems, kept="the last good configuration", **more)


def _read(path: Path) -> str:
    """Return a file's text; raises `OSError` for what is no file as well: reading from a pipe would wait."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    return path.read_text()


@dataclass(slots=True)
class Workers:
    """The background workers of the configuration that is in use; one that it keeps is not interrupted."""

    _wanted: Mapping[int, GuardedWorker] = field(default_factory=dict)
    """By the identity of the plugin."""
    _running: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _group: asyncio.TaskGroup | None = None

    def use(self, workers: Sequence[GuardedWorker]) -> None:
        """Run these, and stop all others."""
        self._wanted = {id(worker.worker): worker for worker in workers}
        if self._group is None:
            return
        for plugin in [plugin for plugin in self._running if plugin not in self._wanted]:
            self._running.pop(plugin).cancel()
        for plugin, worker in self._wanted.items():
            if plugin not in self._running:
                self._running[plugin] = self._group.create_task(worker.run())

    async def run(self) -> None:
        """Let them work until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self.use(list(self._wanted.values()))
            await asyncio.Event().wait()
