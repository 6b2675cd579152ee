"""One request through the gateway: whether it comes back, and whether the picker chose its endpoint."""

import asyncio
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from epp.doctor.address import Address
from epp.doctor.health import metrics_port
from epp.doctor.objects import FullPod
from epp.doctor.reaching import Reach, shortened
from epp.doctor.servers import Server
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import NOT_FOUND, KubeError
from epp.kube.reflector import decoded

MARK = "epp-doctor"
"""Query parameter with the request's id: edge gateways put an id of their own in the place of a client's."""
LOOK_TIMES = 3
LOOK_AGAIN_S = 0.2
DECISIONS_ASKED = "1000"
"""As many as a picker tells at a time."""
MOVED, BAD_REQUEST = 300, 400
REDIRECTED = "the gateway wants it elsewhere, such as at its https listener: say --url"
ADVICE: Mapping[int, str] = {
    400: "the model server or the picker does not like it: is it a completion model? say --model",
    401: "the gateway or the model server wants credentials, which the doctor has none of",
    403: "the gateway does not let it pass: its authorization policies say why",
    404: "no route takes this host, path and headers, or no server has this model: kubectl get httproutes -A, and "
    "--model",
    408: "the body did not get to the picker: the gateway's body mode",
    413: "a limit of the gateway or the picker for bodies is very small",
    429: "the pool is full, or its filters leave no endpoint: see epp_request_errors_total",
    500: "the gateway could not ask the picker: the protocol of the Service's port and --secure-serving have to fit, "
    "and on Istio a DestinationRule",
    502: "the gateway could not reach the endpoint: NetworkPolicies between gateway and model servers",
    503: "no endpoint, or none that the gateway reaches: see the checks of picker and model servers above",
    504: "a timeout: of the HTTPRoute, or of the gateway's call to the picker (message timeout)",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was answered."""

    request_id: str
    status: int

    @property
    def is_well(self) -> bool:
        """Tell whether it was answered with success."""
        return self.status < MOVED


class _Decision(msgspec.Struct):
    request_id: str = ""
    path: str = ""
    endpoints: list[str] | None = None


async def send_request(address: Address, model: str, *, timeout_s: float) -> Found[Sent]:
    """Send a completion of one token."""
    request_id = str(uuid.uuid4())
    url = f"{address.url.rstrip('/')}{address.path}"
    headers = {**address.headers, "x-request-id": request_id, "content-type": "application/json", "user-agent": MARK}
    if address.host:
        headers["host"] = address.host
    body = msgspec.json.encode({"model": model, "prompt": "Hello", "max_tokens": 1})
    try:
        status, said = await _post(f"{url}?{MARK}={request_id}", headers, body, timeout_s)
    except TimeoutError as error:
        message = f"POST {url}: no answer within {timeout_s:g} s"
        raise FailedError(message, f"a model that is slow to start? try --timeout {3 * timeout_s:g}s") from error
    except (aiohttp.ClientError, ValueError, OSError) as error:
        advice = "is that address reachable from here? kubectl port-forward to the gateway's Service, and say --url"
        raise FailedError(f"POST {url}: {error}", advice) from error
    sent = Sent(request_id, status)
    message = f"POST {url} for model {model}: {status}"
    if sent.is_well:
        return Found(sent, message)
    advice = REDIRECTED if status < BAD_REQUEST else ADVICE.get(status, "the answer says what is wrong")
    return Found(sent, f"{message}: {shortened(said) or 'no body'}", advice, Outcome.FAIL)


async def _post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        # A gateway is asked by its address, so its certificate cannot fit.
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(
            url, data=body, headers=headers, ssl=False, server_hostname=_server(url, headers), allow_redirects=False
        ) as response,
    ):
        return response.status, await response.read()


def _server(url: str, headers: Mapping[str, str]) -> str | None:
    return headers.get("host") if url.startswith("https:") else None


async def find_decision(reach: Reach, pods: Sequence[FullPod], sent: Sent, servers: Sequence[Server]) -> Found[None]:
    """Tell which endpoint the picker chose; that there is no decision means that it was not asked."""
    silent: KubeError | None = None
    for turn in range(LOOK_TIMES):
        if turn:
            await asyncio.sleep(LOOK_AGAIN_S)
        for pod in pods:
            try:
                decision = await _decision(reach, pod, sent)
            except KubeError as error:
                silent = error
                continue
            if decision is not None:
                return Found(None, f"{_where(decision, servers)}, by the picker {pod.metadata.name}")
    if silent is not None:
        # The one that did not answer may be the one that decided.
        raise silent
    if not sent.is_well:
        raise SkippedError("the request failed, and no picker has decided on it: it did not get there, or was refused")
    names = ", ".join(pod.metadata.name for pod in pods)
    raise FailedError(
        f"the request was answered, and no picker has decided on it (asked: {names})",
        "it went straight to a Service, or to another pool's picker: the HTTPRoute's backendRef has to be the "
        "InferencePool, for this host and path too",
    )


def _where(decision: _Decision, servers: Sequence[Server]) -> str:
    pods = {f"{one.spec.address}:{one.spec.port}": one.pod.metadata.name for one in servers}
    pods |= {one.spec.key: one.pod.metadata.name for one in servers}
    chosen = (decision.endpoints or ["nobody"])[0]
    return f"to {chosen}" + (f" (pod {pods[chosen]})" if chosen in pods else "")


async def _decision(reach: Reach, pod: FullPod, sent: Sent) -> _Decision | None:
    """Return the decision by the request's id, or by the mark in its path."""
    port = metrics_port(pod.spec)
    with contextlib.suppress(_NotKeptError):
        for one in await _decisions(reach, pod, port, {"request_id": sent.request_id}):
            return one
    with contextlib.suppress(_NotKeptError):
        for one in await _decisions(reach, pod, port, {"limit": DECISIONS_ASKED}):
            if sent.request_id in one.path:
                return one
    return None


class _NotKeptError(Exception):
    """There is no such decision."""


async def _decisions(reach: Reach, pod: FullPod, port: int, params: Mapping[str, str]) -> Sequence[_Decision]:
    try:
        content = await reach.page(pod, port, "/debug/decisions", params=params)
    except KubeError as error:
        if error.status != NOT_FOUND:
            raise
        if "request_id" not in params:
            raise SkippedError(f"{pod.metadata.name} has no /debug/decisions: this is another picker") from error
        raise _NotKeptError from error
    return decoded(content, list[_Decision], f"{pod.metadata.name}: /debug/decisions") or []
