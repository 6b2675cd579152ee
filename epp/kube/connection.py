"""One connection to an API server: requests, and streams of lines; bytes in and out.

`lightkube` finds the cluster and signs in; lists and watches are our own (docs/decisions/0010-kubernetes-client.md).
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from epp.plugin import ConfigurationError
from epp.settings import environment

if TYPE_CHECKING:
    import httpx2

REQUEST_TIMEOUT_S = 10.0
LONGEST_LINE_BYTES = 16 * 1024 * 1024
"""An event is one object, and those are far smaller; a longer line is no event."""
GONE = 410
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
TIMEOUT = 504


class KubeError(Exception):
    """The API server refused, or could not be reached; says what was asked for and what it said."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; ``None``: there was no answer."""
        self.retry_after_s = retry_after_s
        """How long the server wants to be left alone."""


class _Status(msgspec.Struct):
    """What an API server says in place of what it was asked for."""

    message: str | None = None
    reason: str | None = None
    code: int | None = None


def error_of(content: bytes, status: int | None, what: str, *, retry_after_s: float = 0.0) -> KubeError:
    """Return what a ``Status`` object says; ``content`` may be anything."""
    try:
        said = msgspec.json.decode(content, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Status(message=content[:200].decode(errors="replace"))
    code = status if status is not None else said.code
    return KubeError(f"{what}: {code}: {said.message or said.reason}", status=code, retry_after_s=retry_after_s)


class Api:
    """An API server that we are signed in at."""

    def __init__(self, http: "httpx2.AsyncClient", namespace: str, *, is_in_pod: bool = False) -> None:
        self._http = http
        self.namespace = namespace
        """That of the kubeconfig's context, or of the pod."""
        self.is_in_pod = is_in_pod
        """Whether we are signed in as the service account of the pod that we are in."""

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        """Return the answer's content; raises `KubeError` for everything but success."""
        headers = {"content-type": "application/json"} if body is not None else None
        try:
            response = await self._http.request(method, path, params=params, content=body, headers=headers)
        except Exception as error:  # network, TLS, and whatever signing in runs: all of it is tried again
            raise KubeError(f"{method} {path}: {error!r}") from error
        if response.is_success:
            return response.content
        raise error_of(response.content, response.status_code, f"{method} {path}", retry_after_s=_retry_after(response))

    async def lines(
        self, path: str, *, params: Mapping[str, str], silence_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        """Yield lines as they come, some at a time, until the server ends them.

        Raises `KubeError`, also for a server that says nothing for ``silence_s``.
        """
        import httpx2  # noqa: PLC0415 - the extra `kubernetes`

        timeout = httpx2.Timeout(REQUEST_TIMEOUT_S, read=silence_s)
        begun: list[bytes] = []
        try:
            async with self._http.stream("GET", path, params=params, timeout=timeout) as response:
                if not response.is_success:
                    content = await response.aread()
                    wait_s = _retry_after(response)
                    raise error_of(content, response.status_code, f"watch {path}", retry_after_s=wait_s)  # noqa: TRY301
                async for chunk in response.aiter_bytes():
                    begun.append(chunk)
                    if b"\n" in chunk:
                        *lines, rest = b"".join(begun).split(b"\n")
                        begun = [rest]
                        yield lines
                    elif sum(map(len, begun)) > LONGEST_LINE_BYTES:
                        raise KubeError(f"watch {path}: a line of more than {LONGEST_LINE_BYTES} bytes")  # noqa: TRY301
        except KubeError:
            raise
        except Exception as error:  # as in `request`
            raise KubeError(f"watch {path}: {error!r}") from error


def _retry_after(response: "httpx2.Response") -> float:
    said = response.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 0.0


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Api]:
    """Find the cluster: that of the pod, of ``KUBECONFIG``, or of ``~/.kube/config``.

    Raises `ConfigurationError` when there is none, or the extra `kubernetes` is not installed.
    """
    try:
        import httpx2  # noqa: PLC0415 - the extra `kubernetes`
        from lightkube.config.client_adapter import AsyncClient, ConnectionParams  # noqa: PLC0415 - likewise
        from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415 - likewise
    except ImportError as error:
        message = f"Kubernetes needs more packages: pip install 'endpoint-picker[kubernetes]' ({error})"
        raise ConfigurationError([message]) from error
    try:
        config = KubeConfig.from_env().get()
        assert config is not None  # noqa: S101 - only where a default is asked for
        http = AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(REQUEST_TIMEOUT_S)))
    except Exception as error:  # it takes files as they are, and says what is wrong with them in many ways
        places = f"this is no pod with a service account, and {environment().kubeconfig} does not help"
        message = f"no Kubernetes cluster: {places}: {error!r}"
        raise ConfigurationError([message]) from error
    async with http:
        # A kubeconfig is a file; the service account's is made from what is mounted.
        yield Api(http, config.namespace, is_in_pod=config.fname is None)
