"""Which transport is used."""

import importlib.util

import pytest

from epp.extproc.transport import Transport, chosen
from epp.plugin import ConfigurationError


@pytest.mark.parametrize("wanted", [Transport.HYPER, Transport.GRPCIO])
def test_transport_that_is_asked_for_is_used(wanted: Transport) -> None:
    assert chosen(wanted) is wanted


def test_hyper_is_used_where_it_is_installed() -> None:
    assert chosen(Transport.AUTO) is Transport.HYPER


def test_without_hyper_there_is_grpcio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert chosen(Transport.AUTO) is Transport.GRPCIO
    with pytest.raises(ConfigurationError, match=r"pip install 'endpoint-picker\[fast\]'"):
        chosen(Transport.HYPER)
