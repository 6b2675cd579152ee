"""What is run: the plan of a command line, Envoy's configurations, sockets of a peer."""

import argparse
import json

import pytest

from load.cost import subjects_of
from load.gateway import GatewayPorts, gateway_config
from load.generators import chat_body
from load.kernel import listening_inodes
from load.plan import CASES, NAMES, SMALL, Address, Case, Plan, read_address, read_plan
from load.upstream import answering_config, hosts

SOCKETS = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:232A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000 100 0 0 10 0
   1: 0100007F:232A 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0000 100 0 0 10 0
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1 0000 100 0 0 10 0
"""


def test_without_arguments_everything_is_measured() -> None:
    assert read_plan([]) == Plan()
    assert list(Plan().names) == list(NAMES)
    assert Plan().cases == list(CASES)


def test_arguments_choose_cases_and_seconds() -> None:
    plan = read_plan(["--only", "1 KB", "--only", "idle", "--seconds", "3", "--transport", "hyper"])
    assert (plan.cases, plan.seconds, plan.transports) == ([SMALL], 3.0, ["hyper"])


def test_a_peer_takes_part_where_the_pool_is_the_one_that_it_knows() -> None:
    plan = read_plan(["--peer", "127.0.0.1:9002"])
    assert plan.peer == Address("127.0.0.1", 9002)
    assert [one.name for one in subjects_of(SMALL, plan)][-1] == "peer"
    assert [one.name for one in subjects_of(Case(name="x", endpoints=100), plan)] == ["epp/hyper", "echo/hyper"]


@pytest.mark.parametrize("text", ["9002", "host:", "host:port", ":9002"])
def test_an_address_needs_a_host_and_a_port(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        read_address(text)


def test_the_same_envoy_without_ext_proc_differs_in_that_filter_only() -> None:
    ports = GatewayPorts(8080, 8081)
    asked = gateway_config(ports, SMALL, Address("127.0.0.1", 9002), is_secure=False)
    bare = gateway_config(ports, SMALL, None, is_secure=False)
    names = [
        [
            one["name"]
            for one in config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
                "http_filters"
            ]
        ]
        for config in (asked, bare)
    ]
    assert names == [["ext_proc", "router"], ["router"]]


def test_a_picker_of_another_machine_is_asked_there() -> None:
    config = gateway_config(GatewayPorts(8080, 8081), SMALL, Address("192.0.2.7", 9002), is_secure=False)
    assert '{"address": "192.0.2.7", "port_value": 9002}' in json.dumps(config)


def test_request_only_shows_no_answer() -> None:
    case = Case(name="request only", sees_answers=False)
    text = json.dumps(gateway_config(GatewayPorts(8080, 8081), case, Address("127.0.0.1", 9002), is_secure=False))
    assert '"response_header_mode": "SKIP"' in text
    assert '"response_trailer_mode": "SKIP"' in text
    assert '"response_body_mode": "NONE"' in text


def test_a_thousand_endpoints_have_addresses_of_their_own() -> None:
    names = hosts(1_000)
    assert len(set(names)) == 1_000
    assert names[0] == "127.0.0.1"
    listener = answering_config(names, 8000, page="x")["static_resources"]["listeners"][0]
    assert len(listener["additional_addresses"]) == 999


def test_a_body_is_a_chat_request_of_about_the_size_asked_for() -> None:
    body = chat_body(40_000)
    assert 39_900 < len(body) < 40_200
    assert json.loads(body)["messages"][0]["role"] == "user"


def test_the_socket_that_listens_on_a_port_is_found_by_its_inode() -> None:
    assert listening_inodes([SOCKETS], 9002) == {"4242"}
    assert listening_inodes([SOCKETS], 9003) == set()
