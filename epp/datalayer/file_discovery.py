"""``file-discovery``: the pool from a YAML or JSON file, reloaded when it changes."""

import asyncio
import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

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

    The file is looked at twice a second and compared by content, so that it does not matter how it is replaced: written
    in place, renamed over, or swapped by a symbolic link as Kubernetes does. A broken file keeps the last good set.
    """

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._path = Path(params.path)
        self._watch_file = params.watch_file
        self._log = context.log
        self._digest = b""

    def load(self) -> Sequence[EndpointSpec]:
        """Return the endpoints in the file; raises `ConfigurationError` saying what is wrong with it and where."""
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise ConfigurationError([f"{self._path}: cannot be read: {error.strerror}"]) from error
        self._digest = hashlib.sha256(content).digest()
        return _read_specs(content, self._path)

    async def watch(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        """Publish the endpoints after each change of the file; without ``watchFile`` there is nothing to do."""
        complaint = ""
        while self._watch_file:
            await asyncio.sleep(POLL_INTERVAL_S)
            before = self._digest
            try:
                specs = self.load()
            except ConfigurationError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._log.error(
                        "endpoints_file_broken", problems=complaint.splitlines(), kept="last good endpoints"
                    )
                continue
            if self._digest != before or complaint:
                complaint = ""
                publish(specs)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    namespace: str = "default"
    labels: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoints: list[_Entry]


def _read_specs(content: bytes, path: Path) -> list[EndpointSpec]:
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError([f"{path}: is larger than {MAX_FILE_BYTES} bytes"])
    try:
        # Ports are written as strings in files made for the Go pickers: `strict=False` takes both.
        document = msgspec.convert(yaml.safe_load(content), _File, strict=False)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: {' '.join(str(error).split())}"]) from error
    problems: list[str] = []
    specs: dict[str, EndpointSpec] = {}
    for i, entry in enumerate(document.endpoints):
        if not _is_address(entry.address):
            problems.append(f"{path}: endpoints[{i}].address: `{entry.address}` is no IP address")
        spec = EndpointSpec(
            name=entry.name, namespace=entry.namespace, address=entry.address, port=entry.port, labels=entry.labels
        )
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
