"""Endpoints named on the command line."""

import pytest

from epp.datalayer.static import parse_endpoints
from epp.plugin import ConfigurationError


def test_address_and_port_are_taken_and_the_name_is_as_given() -> None:
    (spec,) = parse_endpoints(["10.0.0.1:8000"])
    assert (spec.name, spec.address, spec.port) == ("10.0.0.1:8000", "10.0.0.1", 8000)


def test_ipv6_comes_in_brackets() -> None:
    (spec,) = parse_endpoints(["[::1]:8000"])
    assert spec.address == "::1"


def test_host_name_is_resolved_because_envoy_routes_to_addresses() -> None:
    (spec,) = parse_endpoints(["localhost:8000"])
    assert spec.address in {"127.0.0.1", "::1"}


def test_all_bad_ones_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_endpoints(["8000", "10.0.0.1:0", "10.0.0.1:http", "no-such-host.invalid:80", "10.0.0.2:1", "10.0.0.2:1"])
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == 5
    assert problems[0] == (
        "--endpoint 8000: must be HOST:PORT with a port from 1 to 65535, such as 10.0.0.1:8000 or [::1]:8000"
    )
    assert problems[3].startswith("--endpoint no-such-host.invalid:80: host `no-such-host.invalid` cannot be resolved")
    assert problems[4] == "--endpoint 10.0.0.2:1: given twice"
