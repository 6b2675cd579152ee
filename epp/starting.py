"""From the settings of the process to the parts that it is made of."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

from epp.assembled import Assembly, Surroundings
from epp.assembly import assemble_text
from epp.config.places import command_for
from epp.datalayer.static import MAX_PORT
from epp.extproc.service import Limits
from epp.kube.cluster import PoolName, Wanted
from epp.kube.objects import PoolShape
from epp.observability import Metrics
from epp.observability.header_rules import is_header_name
from epp.observability.lifecycle_guards import GuardedDiscovery
from epp.plugin import ConfigurationError
from epp.settings import Settings, environment
from epp.workshop import Built

PORT = re.compile(r"[0-9]{1,5}")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?=([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""Of an object in Kubernetes, roughly RFC 1123."""
MAX_PORTS = 8
"""Of a pod, as in an InferencePool."""
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


def first_assembly(settings: Settings, surroundings: Surroundings, text: str | None) -> Assembly:
    """Do the same at start, where the last line says who knows the places of problems in a file."""
    try:
        return assemble(settings, surroundings, text)
    except ConfigurationError as error:
        if settings.config_file is None:
            raise
        hint = f"`{command_for(settings.config_file)}` shows the lines"
        raise ConfigurationError([*error.problems, hint]) from error


def _source(settings: Settings) -> str:
    return "--config-text" if settings.config_file is None else f"--config-file {settings.config_file}"


def check_pool(settings: Settings, discovery: GuardedDiscovery | None) -> None:
    """Raise `ConfigurationError` unless exactly one source names the pool.

    The Go pickers want `--pool-name` in any case: beside `dataLayer.discovery` it means nothing here either.
    """
    sources = {
        "--endpoint": bool(settings.endpoint),
        "--pool-name": bool(settings.pool_name) and discovery is None,
        "--endpoint-selector": bool(settings.endpoint_selector),
        "`dataLayer.discovery`": discovery is not None,
    }
    named = [name for name, is_given in sources.items() if is_given]
    if len(named) > 1:
        raise ConfigurationError([f"{' and '.join(named)} both name the pool; use one of them"])
    if not named:
        ways = "--pool-name or --endpoint-selector on Kubernetes, --endpoint HOST:PORT (repeatable)"
        raise ConfigurationError([f"nothing names the pool: give {ways}, or `dataLayer.discovery` in the config"])
    if settings.ha_enable_leader_election and not (sources["--pool-name"] or sources["--endpoint-selector"]):
        raise ConfigurationError(["--ha-enable-leader-election needs Kubernetes: --pool-name or --endpoint-selector"])


def wanted_of_cluster(settings: Settings) -> Wanted | None:
    """Return what is to be followed in a cluster, ``None`` for nothing; raises `ConfigurationError`."""
    pool: PoolName | PoolShape
    if settings.pool_name:
        pool = PoolName(settings.pool_group, settings.pool_name)
    elif settings.endpoint_selector:
        pool = PoolShape(_labels(settings.endpoint_selector), _ports(settings.endpoint_target_ports))
    else:
        return None
    namespace = settings.pool_namespace or environment().namespace or "default"
    for flag, name in (("--pool-name", settings.pool_name or "x"), ("--pool-namespace", namespace)):
        if not NAME.fullmatch(name):
            raise ConfigurationError([f"{flag}: `{name}` cannot be the name of anything in Kubernetes"])
    return Wanted(namespace=namespace, pool=pool, is_elected=settings.ha_enable_leader_election)


def _labels(text: str) -> Mapping[str, str]:
    pairs = [pair.strip().replace("==", "=", 1) for pair in text.split(",")]
    labels = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    if not all(map(LABEL.fullmatch, pairs)) or len(labels) < len(pairs):
        raise ConfigurationError([f"--endpoint-selector: must be like app=vllm,tier=gpu, not `{text}`"])
    return labels


def _ports(text: str) -> Sequence[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(PORT.fullmatch(number) and 1 <= int(number) <= MAX_PORT for number in numbers):
        raise ConfigurationError([f"--endpoint-target-ports: must be like 8000,8001, not `{text}`"])
    ports = list(dict.fromkeys(map(int, numbers)))
    if len(ports) > MAX_PORTS:
        raise ConfigurationError([f"--endpoint-target-ports: at most {MAX_PORTS}, not {len(ports)}"])
    return ports


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
