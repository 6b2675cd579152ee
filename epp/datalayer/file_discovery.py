"""``file-discovery``: the pool from a YAML or JSON file, reloaded when it changes."""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from epp.config import read_yaml
from epp.plugin import ConfigurationError, EndpointSpec, PluginContext, PluginParams

MAX_FILE_BYTES = 1024 * 1024
POLL_INTERVAL_S = 0.5


class Params(PluginParams):
    """As in the Go pickers."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    """The file."""
    watch_file: bool = False
    """Reload the file when it changes."""


class FileDiscovery:
    """Reads ``endpoints: [{name, namespace, address, port, labels}]``.

    The file is read twice a second and compared by content, so that it does not matter how it is replaced: renamed
    over, or swapped by a symbolic link as Kubernetes does. (One that is written in place may be read half written.)
    Reading and parsing happen in a thread: a large pool must not hold requests up. A broken file keeps the last good
    pool.
    """

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._path = Path(params.path)
        self._watch_file = params.watch_file
        self._log = context.log

    async def watch(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        """Publish the pool, and again after each change of the file if it is to be watched.

        Raises `ConfigurationError` when the file cannot be read at start, saying what is wrong with it and where.
        """
        content = await asyncio.to_thread(_read, self._path)
        publish(await asyncio.to_thread(read_specs, content, self._path))
        complaint = ""
        while self._watch_file:
            await asyncio.sleep(POLL_INTERVAL_S)
            try:
                latest = await asyncio.to_thread(_read, self._path)
                if latest == content and not complaint:
                    continue
                specs = await asyncio.to_thread(read_specs, latest, self._path)
            except ConfigurationError as error:
                self._complain(error, complaint)
                complaint = str(error)
            else:
                content, complaint = latest, ""
                publish(specs)

    def _complain(self, error: ConfigurationError, before: str) -> None:
        """Log what is wrong with the file, once for each different thing."""
        if str(error) != before:
            problems = [str(problem) for problem in error.problems]
            self._log.error("endpoints_file_broken", problems=problems, kept="last good endpoints")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    namespace: str = "default"
    labels: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoints: list[_Entry]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error


def read_specs(content: bytes, path: Path) -> list[EndpointSpec]:
    """Return the endpoints in a file's content; raises `ConfigurationError` with everything that is wrong with them."""
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError([f"{path}: is larger than {MAX_FILE_BYTES} bytes"])
    try:
        # Ports are written as strings in files made for the Go pickers: `strict=False` takes both.
        document = msgspec.convert(read_yaml(content), _File, strict=False)
    except (ConfigurationError, msgspec.ValidationError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error
    problems: list[str] = []
    specs: dict[str, EndpointSpec] = {}
    for i, entry in enumerate(document.endpoints):
        spec = EndpointSpec(
            name=entry.name, namespace=entry.namespace, address=entry.address, port=entry.port, labels=entry.labels
        )
        if not _is_address(entry.address):
            problems.append(f"{path}: endpoints[{i}].address: `{entry.address}` is no IP address")
        if spec.key in specs:
            problems.append(f"{path}: endpoints[{i}]: `{spec.key}` stands twice")
        specs[spec.key] = spec
    if problems:
        raise ConfigurationError(problems)
    return list(specs.values())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
