"""Certificates: the operator's or our own."""

from pathlib import Path

import pytest

from epp.extproc.tls import certificate_of, self_signed
from epp.plugin import ConfigurationError


def write_pair(directory: Path, key: bytes, certificate: bytes) -> str:
    (directory / "tls.key").write_bytes(key)
    (directory / "tls.crt").write_bytes(certificate)
    return str(directory)


def test_key_of_another_certificate_is_refused_at_start(tmp_path: Path) -> None:
    (key, _), (_, certificate) = self_signed(), self_signed()
    with pytest.raises(ConfigurationError, match=r"tls\.key does not belong to tls\.crt"):
        certificate_of(write_pair(tmp_path, key, certificate))


def test_file_that_is_no_certificate_is_refused_at_start(tmp_path: Path) -> None:
    key, _ = self_signed()
    with pytest.raises(ConfigurationError, match=r"tls\.crt or tls\.key is not valid PEM"):
        certificate_of(write_pair(tmp_path, key, b"nonsense"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*tls\.crt: No such file or directory"):
        certificate_of(str(tmp_path))
