"""Endpoints named on the command line."""

import ipaddress
import socket
from collections.abc import Sequence

from epp.plugin import ConfigurationError, EndpointSpec

MAX_PORT = 65_535


def parse_endpoints(texts: Sequence[str]) -> list[EndpointSpec]:
    """Return the specs of ``HOST:PORT`` texts, named as given; raises `ConfigurationError` for all bad ones at once.

    Envoy routes to addresses, so a host name is resolved here, once; of several addresses the first is taken.
    """
    problems: list[str] = []
    specs: dict[str, EndpointSpec] = {}
    for text in texts:
        try:
            spec = _parse(text)
        except ValueError as error:
            problems.append(f"--endpoint {text}: {error}")
            continue
        if spec.key in specs:
            problems.append(f"--endpoint {text}: given twice")
        specs[spec.key] = spec
    if problems:
        raise ConfigurationError(problems)
    return list(specs.values())


def _parse(text: str) -> EndpointSpec:
    host, _, port_text = text.rpartition(":")
    if not host or not port_text.isdigit() or not 1 <= int(port_text) <= MAX_PORT:
        raise ValueError(f"must be HOST:PORT with a port from 1 to {MAX_PORT}, such as 10.0.0.1:8000 or [::1]:8000")
    return EndpointSpec(name=text, address=_resolve(host.removeprefix("[").removesuffix("]")), port=int(port_text))


def _resolve(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"host `{host}` cannot be resolved: {error.strerror or error}") from error
    return str(found[0][4][0])
