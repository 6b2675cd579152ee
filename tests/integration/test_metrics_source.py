"""Metrics pages over HTTPS, with a client's certificate or a token, and on another port."""

import asyncio
import datetime as dt
import ipaddress
import os
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from epp.datalayer.metrics_source import MetricsDataSource, Params
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.plugin import Endpoint, EndpointSpec, FetchError, Sign

SPARE_SOCKETS = 200
"""More than a test leaves free below the highest one that is open."""
PAGE = b"vllm:num_requests_waiting 1\n"


def write_pair(directory: Path, name: str) -> tuple[str, str]:
    """Write a certificate for the loopback address that vouches for itself, and its key; return both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(paths[0]), str(paths[1])


@asynccontextmanager
async def serving(*, tls: ssl.SSLContext | None = None, bearer: str | None = None) -> AsyncIterator[Endpoint]:
    """Serve one metrics page, only to those with the token where there is one."""
    (port,) = free_ports(HOST, [0])

    async def page(request: web.Request) -> web.Response:
        if bearer is not None and request.headers.get("authorization") != f"Bearer {bearer}":
            return web.Response(status=401)
        return web.Response(body=PAGE)

    application = web.Application()
    application.router.add_get("/own/metrics", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, ssl_context=tls).start()
    try:
        yield Endpoint(EndpointSpec(name="pod", address=HOST, port=port))
    finally:
        await runner.cleanup()


async def fetch(endpoint: Endpoint, **params: object) -> bytes:
    source = MetricsDataSource(Params(path="/own/metrics", **params))  # type: ignore[arg-type]
    async with source.open_pages() as fetch_page:
        return await fetch_page(endpoint)


@pytest.fixture
def server_pair(tmp_path: Path) -> tuple[str, str]:
    return write_pair(tmp_path, "server")


@pytest.fixture
def server_tls(server_pair: tuple[str, str]) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*server_pair)
    return tls


async def test_any_certificate_is_taken_unless_it_is_to_be_verified(server_tls: ssl.SSLContext) -> None:
    async with serving(tls=server_tls) as endpoint:
        assert await fetch(endpoint, scheme="https") == PAGE
        with pytest.raises(FetchError, match="certificate") as raised:
            await fetch(endpoint, scheme="https", insecure_skip_verify=False)
        assert (raised.value.reason, raised.value.sign) == ("tls", Sign.ALIVE)


async def test_certificate_of_a_known_authority_is_taken(
    server_tls: ssl.SSLContext, server_pair: tuple[str, str]
) -> None:
    async with serving(tls=server_tls) as endpoint:
        assert await fetch(endpoint, scheme="https", insecure_skip_verify=False, ca_cert_path=server_pair[0]) == PAGE


async def test_certificate_is_shown_to_a_server_that_asks(server_tls: ssl.SSLContext, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "client")
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(certificate)
    async with serving(tls=server_tls) as endpoint:
        assert await fetch(endpoint, scheme="https", client_cert_path=certificate, client_key_path=key) == PAGE
        with pytest.raises(FetchError) as raised:
            await fetch(endpoint, scheme="https")
        assert (raised.value.reason, raised.value.sign) == ("tls", Sign.ALIVE)


async def test_token_is_sent_and_may_be_renewed(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old\n")
    async with serving(bearer="new") as endpoint:
        async with MetricsDataSource(Params(path="/own/metrics", token_path=str(path))).open_pages() as fetch_page:
            with pytest.raises(FetchError, match="401"):
                await fetch_page(endpoint)
            path.write_text("new\n")
            assert await fetch_page(endpoint) == PAGE
            path.unlink()
            with pytest.raises(FetchError) as raised:
                await fetch_page(endpoint)
        assert (raised.value.reason, raised.value.sign) == ("token", Sign.ALIVE)


async def test_page_on_another_port_that_is_gone_says_nothing_about_the_endpoint() -> None:
    (nobody,) = free_ports(HOST, [0])
    async with serving() as endpoint:
        moved = Endpoint(EndpointSpec(name="pod", address=HOST, port=nobody))
        assert await fetch(moved, port=endpoint.port) == PAGE
        for source_port, sign in ((nobody, Sign.ALIVE), (None, Sign.REFUSED)):
            with pytest.raises(FetchError) as raised:
                await fetch(moved if source_port is None else endpoint, port=source_port)
            assert (raised.value.reason, raised.value.sign) == ("refused", sign)


async def test_handshake_that_takes_long_is_silence_and_not_a_missing_connection() -> None:
    closed = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    (port,) = free_ports(HOST, [0])
    async with await asyncio.start_server(never, HOST, port):
        with pytest.raises(FetchError) as raised:
            await fetch(Endpoint(EndpointSpec(name="pod", address=HOST, port=port)), scheme="https")
        await closed.wait()
    assert (raised.value.reason, raised.value.sign) == ("timeout", Sign.SILENT)


async def test_lack_of_sockets_here_says_nothing_about_the_endpoint() -> None:
    async with serving() as endpoint:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        source = MetricsDataSource(Params(path="/own/metrics"))
        async with source.open_pages() as fetch_page:
            spare = [os.dup(0) for _ in range(SPARE_SOCKETS)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
            try:
                with pytest.raises(FetchError) as raised:
                    await fetch_page(endpoint)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for one in spare:
                    os.close(one)
        assert (raised.value.reason, raised.value.sign) == ("local", Sign.ALIVE)
