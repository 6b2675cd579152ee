"""Which transport serves calls."""

import enum
import importlib.util

from epp.extproc.rpc import Certificate, Methods, Server
from epp.plugin import ConfigurationError


class Transport(enum.StrEnum):
    """What there is."""

    AUTO = "auto"
    GRPCIO = "grpcio"
    HYPER = "hyper"


def chosen(transport: Transport) -> Transport:
    """Return the transport that is used; raises `ConfigurationError` for one that is not installed."""
    is_there = importlib.util.find_spec("httpunk") is not None
    if transport is Transport.HYPER and not is_there:
        raise ConfigurationError(["--transport hyper: needs more packages: pip install 'endpoint-picker[fast]'"])
    if transport is Transport.AUTO:
        return Transport.HYPER if is_there else Transport.GRPCIO
    return transport


def make_server(
    transport: Transport, methods: Methods, *, certificate: Certificate | None, max_message_bytes: int
) -> Server:
    """Return a server that does not listen yet. What it needs is imported now."""
    if chosen(transport) is Transport.HYPER:
        from epp.extproc.hyper_server import HyperServer  # noqa: PLC0415 - the extra `fast`

        return HyperServer(methods, certificate=certificate, max_message_bytes=max_message_bytes)
    from epp.extproc.grpc_server import GrpcServer  # noqa: PLC0415 - only where it is used: it is large

    return GrpcServer(methods, certificate=certificate, max_message_bytes=max_message_bytes)
