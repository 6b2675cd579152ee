"""From the settings of the process to the parts that it is made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

from epp.assembled import Assembly, Surroundings
from epp.assembly import assemble_text
from epp.datalayer.static import parse_endpoints
from epp.extproc.grpc_server import Limits
from epp.observability import Metrics
from epp.observability.header_rules import is_header_name
from epp.observability.lifecycle_guards import GuardedDiscovery
from epp.plugin import ConfigurationError, EndpointSpec
from epp.settings import Settings
from epp.workshop import Built

NOTHING_ALIVE: Mapping[str, Built] = MappingProxyType({})
MESSAGE_OVERHEAD_BYTES = 1024 * 1024
"""What one ext_proc message may have beside a whole request body: headers, metadata, attributes."""


def make_metrics() -> Metrics:
    """Return the service's metrics, with those of the process itself beside them."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # twice the series, which nobody reads
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Metrics(registry)


def config_text(settings: Settings) -> str | None:
    """Return the text of the configuration, ``None`` for the default one; raises `ConfigurationError`."""
    if settings.config_file is None:
        return settings.config_text
    try:
        return Path(settings.config_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{_source(settings)}: cannot be read: {error}"]) from error


def assemble(
    settings: Settings, surroundings: Surroundings, text: str | None, *, alive: Mapping[str, Built] = NOTHING_ALIVE
) -> Assembly:
    """Build what the configuration says; raises `ConfigurationError`, each problem after the flag that it came by."""
    try:
        return assemble_text(text, surroundings, alive=alive)
    except ConfigurationError as error:
        raise ConfigurationError([f"{_source(settings)}: {problem}" for problem in error.problems]) from error


def _source(settings: Settings) -> str:
    return "--config-text" if settings.config_file is None else f"--config-file {settings.config_file}"


def static_endpoints(settings: Settings, discovery: GuardedDiscovery | None) -> Sequence[EndpointSpec]:
    """Return the pool of the command line; raises `ConfigurationError` unless exactly one source names the pool."""
    if discovery is not None and settings.endpoint:
        raise ConfigurationError(["--endpoint and `dataLayer.discovery` both name the pool; use one of them"])
    if discovery is None and not settings.endpoint:
        raise ConfigurationError(
            ["nothing names the pool: give --endpoint HOST:PORT (repeatable), or `dataLayer.discovery` in the config"]
        )
    return parse_endpoints(settings.endpoint)


def check(settings: Settings) -> None:
    """Raise `ConfigurationError` for what only fails once there is traffic."""
    header = settings.endpoint_response_header
    if header is not None and not is_header_name(header):
        raise ConfigurationError([f"--endpoint-response-header: `{header}` is no name of a header that can be set"])


def limits(settings: Settings) -> Limits:
    """Return what streams may hold, and how long they may be silent."""
    return Limits(
        max_request_body_bytes=settings.max_request_body_bytes,
        max_held_body_bytes=settings.max_held_body_bytes,
        stream_idle_timeout_s=settings.stream_idle_timeout,
    )


def max_message_bytes(settings: Settings) -> int:
    """Return how large an ext_proc message may be: in BUFFERED mode a whole request body is one."""
    return settings.grpc_max_recv_msg_size or settings.max_request_body_bytes + MESSAGE_OVERHEAD_BYTES


def address(host: str, port: int) -> str:
    """Return ``host:port`` as gRPC wants it: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
