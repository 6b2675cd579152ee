"""Ports that are free now, and stay so until somebody binds them."""

import os
import socket

import pytest

from epp.demo.parts import HOST
from epp.demo.process import PORTS_A_SHARE, PartError, free_ports


def test_no_port_is_given_out_twice_in_a_row() -> None:
    ports = [port for _ in range(10) for port in free_ports(HOST, [0] * 10)]
    assert len(set(ports)) == len(ports)


def test_processes_one_after_the_other_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    for pid in range(1_000, 1_064):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        ports = free_ports(HOST, [0] * 3)
        assert seen.isdisjoint(ports)
        assert all(1_024 < port < 32_768 for port in ports)
        seen.update(ports)


def test_port_that_is_wanted_is_given_if_it_is_free() -> None:
    (port,) = free_ports(HOST, [0])
    assert free_ports(HOST, [port]) == [port]
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        (other,) = free_ports(HOST, [port])
    assert other != port


def test_more_ports_than_there_are_is_said() -> None:
    with pytest.raises(PartError, match="no free port"):
        free_ports(HOST, [0] * (PORTS_A_SHARE + 1))
