"""The Envoy that is asked: with the ext_proc filter, or the same without it."""

from dataclasses import dataclass

from epp.demo.envoy import Json, Listener, envoy_config
from epp.demo.parts import HOST
from load.plan import Address, Case

DESTINATION = "x-gateway-destination-endpoint"


@dataclass(frozen=True, slots=True)
class GatewayPorts:
    """Where an Envoy listens."""

    clients: int
    admin: int


def gateway_config(ports: GatewayPorts, case: Case, picker: Address | None, *, is_secure: bool) -> Json:
    """Return an Envoy that asks a picker, or, for none, goes where the client's own header says."""
    listener = Listener(port=ports.clients, response_body=case.response_body)
    asked = picker or Address(HOST, ports.clients)
    config = envoy_config([listener], picker_ports=[asked.port], secure=is_secure)
    resources = config["static_resources"]
    for cluster in resources["clusters"]:
        if cluster["name"] == "picker":
            assigned = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            assigned["address"]["socket_address"]["address"] = asked.host
    filters = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    if picker is None:
        del filters[0]
    elif not case.sees_answers:
        mode = filters[0]["typed_config"]["processing_mode"]
        mode |= {"response_header_mode": "SKIP", "response_trailer_mode": "SKIP"}
    admin = {"address": {"socket_address": {"address": HOST, "port_value": ports.admin}}}
    return {**config, "admin": admin}
