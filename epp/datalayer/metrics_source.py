"""``metrics-data-source``: fetches metrics pages over HTTP."""

import contextlib
import errno
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

import aiohttp
from msgspec import Meta

from epp.observability.source_guards import MIN_INTERVAL_S
from epp.plugin import ConfigurationError, Endpoint, Fetch, FetchError, PluginParams, Problem, Sign, read_duration

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""A real page has 50 KB; this bounds what a broken endpoint can make us hold."""
CONNECT_TIMEOUT_S = 0.8
"""Less than what a whole page may take: no connection is another thing than no answer."""
LOCAL_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""The picker itself is out of sockets or memory: that says nothing about the endpoint."""
_CHUNK_BYTES = 65_536
_OK = 200


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    scheme: Literal["http", "https"] = "http"
    """How the page is fetched."""
    path: Annotated[str, Meta(pattern="^/")] = "/metrics"
    """Where it is."""
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """The port that serves it; the endpoint's own when left out."""
    insecure_skip_verify: bool = True
    """With https, take any certificate."""
    ca_cert_path: str | None = None
    """A file with the certificates to trust; they are only looked at without `insecure_skip_verify`."""
    client_cert_path: str | None = None
    """A file with the certificate to show."""
    client_key_path: str | None = None
    """A file with its key."""
    token_path: str | None = None
    """A file with a bearer token to send; it is read again for each page, since tokens are renewed. Not in Go."""
    interval: str | None = None
    """Time between two pages of an endpoint, such as 2s; `--refresh-metrics-interval` when left out."""


class MetricsDataSource:
    """Fetches pages over connections that are kept open."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.interval_s = (
            None if params.interval is None else read_duration(params.interval, "interval", at_least_s=MIN_INTERVAL_S)
        )
        self._tls = _client_tls(params) if params.scheme == "https" else None
        self._token_path = Path(params.token_path) if params.token_path else None
        if self._token_path is not None:
            _read_token(self._token_path)

    @contextlib.asynccontextmanager
    async def open_pages(self) -> AsyncIterator[Fetch]:
        """Return what fetches pages, until the context closes."""
        # One connection for each endpoint: with aiohttp's limit of 100, those that hang would keep others waiting.
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:

            async def fetch(endpoint: Endpoint) -> bytes:
                try:
                    return await self._fetch(http, endpoint)
                except aiohttp.ClientError as error:
                    raise self._fetch_error(endpoint, error) from error

            yield fetch

    async def _fetch(self, http: aiohttp.ClientSession, endpoint: Endpoint) -> bytes:
        async with http.get(self._url(endpoint), headers=self._headers(), allow_redirects=False) as response:
            if response.status != _OK:
                raise FetchError("http_status", f"status {response.status}")
            return await _read_bounded(response)

    def _url(self, endpoint: Endpoint) -> str:
        params = self._params
        place = endpoint.host_port
        if params.port is not None:
            place = f"{place.rpartition(':')[0]}:{params.port}"
        return f"{params.scheme}://{place}{params.path}"

    def _headers(self) -> dict[str, str] | None:
        if self._token_path is None:
            return None
        try:
            return {"authorization": f"Bearer {_read_token(self._token_path)}"}
        except ConfigurationError as error:
            raise FetchError("token", str(error)) from error

    def _fetch_error(self, endpoint: Endpoint, error: aiohttp.ClientError) -> FetchError:
        """Translate; a connection to another port than the one that serves requests says nothing about that."""
        reason, sign = self._judge(error)
        is_own_port = self._params.port in {None, endpoint.port}
        return FetchError(reason, str(error) or type(error).__name__, sign=sign if is_own_port else Sign.ALIVE)

    def _judge(self, error: aiohttp.ClientError) -> tuple[str, Sign]:
        """Return what kind of failure it is, and what it says about who listens on the port."""
        is_tls = self._tls is not None
        os_error = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        match error:
            case aiohttp.ConnectionTimeoutError() if is_tls:
                return "timeout", Sign.SILENT  # the handshake is a part of it, and takes an engine that is not stuck
            case aiohttp.ClientSSLError() | aiohttp.ServerDisconnectedError() if is_tls:
                # A server that misses a client's certificate hangs up once it has looked: TLS 1.3 lets it do so late.
                return "tls", Sign.ALIVE
            case _ if os_error is not None and os_error.errno in LOCAL_ERRORS:
                return "local", Sign.ALIVE
            case _ if isinstance(os_error, ConnectionRefusedError):
                return "refused", Sign.REFUSED
            case aiohttp.ClientConnectionError():
                return "connection", Sign.UNREACHABLE
        return "malformed", Sign.ALIVE


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the page; raises `FetchError` when it is larger than any page should be."""
    page = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        page += chunk
        if len(page) > MAX_PAGE_BYTES:
            raise FetchError("too_large", f"page over {MAX_PAGE_BYTES} bytes")
    return bytes(page)


def _client_tls(params: Params) -> ssl.SSLContext:
    """Return how to speak TLS; raises `ConfigurationError` for files that cannot be used."""
    context = ssl.create_default_context()
    if params.client_key_path and not params.client_cert_path:
        raise ConfigurationError([Problem("clientKeyPath", "needs clientCertPath beside it")])
    try:
        if params.ca_cert_path:
            context.load_verify_locations(params.ca_cert_path)
    except OSError as error:
        raise ConfigurationError([Problem("caCertPath", f"cannot be used: {error}")]) from error
    try:
        if params.client_cert_path:
            context.load_cert_chain(params.client_cert_path, params.client_key_path)
    except OSError as error:
        raise ConfigurationError([Problem("clientCertPath", f"cannot be used: {error}")]) from error
    if params.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _read_token(path: Path) -> str:
    """Return the token; raises `ConfigurationError` when there is none."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem("tokenPath", f"cannot be read: {error}")]) from error
    if not token or not token.isprintable():
        raise ConfigurationError([Problem("tokenPath", f"`{path}` holds no token")])
    return token
