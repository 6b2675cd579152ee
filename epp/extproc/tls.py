"""Server certificates: the operator's, or one made up in memory."""

import datetime as dt
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from epp.extproc.rpc import Certificate
from epp.plugin import ConfigurationError

_VALID_FOR = dt.timedelta(days=3650)


def certificate_of(cert_path: str | None) -> Certificate:
    """Return ``tls.crt`` and ``tls.key`` of a directory, or self-signed ones when there is none.

    Raises `ConfigurationError` when the files cannot be read or do not fit.
    """
    return Certificate(*(self_signed() if cert_path is None else _from_directory(Path(cert_path))))


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Return what serves HTTP/2 with a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile() as file:  # the only way in that Python's ssl has
        file.write(certificate.chain + b"\n" + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def self_signed() -> tuple[bytes, bytes]:
    """Return a new key and certificate as PEM. Nobody can verify it: it hides, it does not prove who we are."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "endpoint-picker")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, certificate.public_bytes(serialization.Encoding.PEM)


def _from_directory(directory: Path) -> tuple[bytes, bytes]:
    try:
        certificate = (directory / "tls.crt").read_bytes()
        key = (directory / "tls.key").read_bytes()
    except OSError as error:
        raise ConfigurationError(
            [f"--cert-path {directory}: cannot read {error.filename}: {error.strerror}"]
        ) from error
    _require_pair(directory, key, certificate)
    return key, certificate


def _require_pair(directory: Path, key: bytes, certificate: bytes) -> None:
    """Raise `ConfigurationError` now, because gRPC would only fail at the first handshake."""
    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError([f"--cert-path {directory}: tls.crt or tls.key is not valid PEM: {error}"]) from error
    if public != private.public_key():
        raise ConfigurationError([f"--cert-path {directory}: tls.key does not belong to tls.crt"])
