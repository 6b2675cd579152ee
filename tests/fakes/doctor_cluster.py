"""A cluster to be examined: an API server with proxies and access reviews, model servers, a picker and a gateway.

Pods have addresses of a cluster; the API server's proxy leads to real servers on loopback.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.serving import listening_http
from tests.fakes.kube_api import CORE, LEASES, OLD_GROUP, POOLS, Json, KubeApi, pod, pool, status

NAMESPACE, MODEL = "models", "meta-llama/Llama-3.1-8B"
GATEWAYS, ISTIO = "/apis/gateway.networking.k8s.io/v1", "/apis/networking.istio.io/v1alpha3"
REVIEWS = "/apis/authorization.k8s.io/v1"
KINDS = {
    *(f"{CORE}/pods", f"{CORE}/services", "/apis/apps/v1/deployments", f"{POOLS}/inferencepools", f"{LEASES}/leases"),
    *(f"{GATEWAYS}/gateways", f"{GATEWAYS}/httproutes", f"{ISTIO}/envoyfilters", f"{ISTIO}/destinationrules"),
    *(f"{OLD_GROUP}/inferenceobjectives", f"{OLD_GROUP}/inferencemodelrewrites"),
}
PAGE = (
    "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n"
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="1000",enable_prefix_caching="True"} 1\n'
)


@dataclass
class ProxyingApi(KubeApi):
    """An API server that leads to pods, says who may do what, and refuses what a test says."""

    backends: dict[str, int] = field(default_factory=dict)
    """Port on loopback by ``NAME:PORT`` of a pod."""
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Verb and resource."""
    reviews: list[Json] = field(default_factory=list)

    async def _served(self, request: web.Request) -> web.StreamResponse:
        if "/proxy/" in request.path:
            return await self._proxy(request)
        if request.path.startswith(REVIEWS):
            return await self._review(request)
        return await super()._served(request)

    async def _proxy(self, request: web.Request) -> web.Response:
        before, _, rest = request.path_qs.partition("/proxy/")
        port = self.backends.get(before.rpartition("/")[2])
        if port is None:
            message = "error trying to reach service: dial tcp: connect: connection refused"
            return web.json_response(status(503, message, "ServiceUnavailable"), status=503)
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{port}/{rest}") as response:
            return web.Response(body=await response.read(), status=response.status)

    async def _review(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews.append(review)
        asked = review["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return web.json_response(review | {"status": {"allowed": allowed}}, status=201)


@dataclass
class FakeServer:
    """A model server's pages."""

    page: str = PAGE
    models: Sequence[str] = (MODEL,)
    status: int = 200
    port: int = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/completions", self._complete)
        return application

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.page, status=self.status)

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _complete(self, request: web.Request) -> web.Response:
        model = (await request.json())["model"]
        if model not in self.models:
            return web.json_response({"error": {"message": f"The model `{model}` does not exist."}}, status=404)
        return web.json_response({"choices": [{"text": "."}]})


@dataclass
class FakePicker:
    """A picker's pages."""

    unmet: str = ""
    modes: dict[str, int] = field(default_factory=lambda: {"full_duplex_streamed": 12})
    decisions: list[Json] = field(default_factory=list)
    port: int = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/debug/decisions", self._decisions)
        return application

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.unmet or "ok\n", status=503 if self.unmet else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        lines = ["# TYPE epp_streams_total counter"]
        for mode, count in self.modes.items():
            lines.append(f'epp_streams_total{{request_body="{mode}",response_body="none"}} {count}.0')
        return web.Response(text="\n".join([*lines, ""]))

    async def _decisions(self, request: web.Request) -> web.Response:
        wanted = request.query.get("request_id")
        found = [one for one in self.decisions if wanted in (None, one["request_id"])]
        if wanted is not None and not found:
            return web.json_response({"error": f"no decision is kept of request `{wanted}`"}, status=404)
        return web.json_response(found)


@dataclass
class FakeGateway:
    """A gateway that asks the picker, or does not."""

    picker: FakePicker
    server: FakeServer
    asks: bool = True
    keeps_ids: bool = True
    refusal: tuple[int, str] | None = None
    hosts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)
    """Headers without which there is no route."""
    port: int = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._pass_on)
        return application

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.hosts.append(request.host)
        self.paths.append(request.path)
        if not self.wanted.items() <= dict(request.headers).items():
            return web.Response(status=404)
        if self.refusal is not None:
            return web.Response(text=self.refusal[1], status=self.refusal[0])
        if self.asks:
            request_id = request.headers["x-request-id"] if self.keeps_ids else "another"
            endpoints = [f"{NAMESPACE}/vllm-0-rank-0"]
            self.picker.decisions.append({"request_id": request_id, "path": request.path_qs, "endpoints": endpoints})
        url = f"http://{HOST}:{self.server.port}/v1/{request.path_qs.rpartition('/v1/')[2]}"
        async with aiohttp.ClientSession() as http, http.post(url, data=await request.read()) as response:
            return web.Response(body=await response.read(), status=response.status)


@dataclass
class DoctorCluster:
    """Everything of it, to be broken by a test."""

    api: ProxyingApi
    servers: list[FakeServer]
    picker: FakePicker
    gateway: FakeGateway

    def change(self, collection: str, name: str) -> Json:
        """Return an object that a test may change in place."""
        return self.api.objects[collection][name]


def conditions(*types: str, is_true: bool = True, reason: str = "", message: str = "") -> list[Json]:
    """Return conditions."""
    said = "True" if is_true else "False"
    return [{"type": kind, "status": said, "reason": reason or kind, "message": message} for kind in types]


def _fill(api: KubeApi, gateway_port: int) -> None:
    llama = pool("llama")
    llama["spec"]["endpointPickerRef"] = {"name": "llama-epp", "port": {"number": 9002}}
    parent = {"parentRef": {"kind": "Gateway", "name": "inference-gateway"}, "controllerName": "example.net/gateway"}
    llama["status"] = {"parents": [parent | {"conditions": conditions("Accepted", "ResolvedRefs")}]}
    api.put(f"{POOLS}/inferencepools", llama)
    ports = [{"name": "ext-proc", "port": 9002, "targetPort": 9002, "appProtocol": "http2"}]
    spec = {"selector": {"app": "llama-epp"}, "ports": ports}
    api.put(f"{CORE}/services", {"metadata": {"name": "llama-epp"}, "spec": spec})
    args = ["--pool-name", "llama", f"--pool-namespace={NAMESPACE}", "--ha-enable-leader-election"]
    container: Json = {"name": "epp", "args": args, "ports": [{"name": "ext-proc", "containerPort": 9002}]}
    put_pod(api, "llama-epp-0", "10.0.1.2", {"app": "llama-epp"}, container)
    for number in range(2):
        put_pod(api, f"vllm-{number}", f"10.0.1.{10 + number}", {"app": "vllm"}, {"ports": [{"containerPort": 8000}]})
    put_pod(api, "gateway-0", "10.0.1.3", {"gateway.networking.k8s.io/gateway-name": "inference-gateway"}, {})
    backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "llama"}
    route = {"parentRefs": [{"name": "inference-gateway"}], "rules": [{"backendRefs": [backend]}]}
    api.put(
        f"{GATEWAYS}/httproutes",
        {
            "metadata": {"name": "llama-route"},
            "spec": route,
            "status": {"parents": [parent | {"conditions": conditions("Accepted", "ResolvedRefs")}]},
        },
    )
    api.put(f"{ISTIO}/destinationrules", destination_rule("SIMPLE"))
    api.put(
        f"{GATEWAYS}/gateways",
        {
            "metadata": {"name": "inference-gateway"},
            "spec": {"gatewayClassName": "istio", "listeners": [{"port": gateway_port, "protocol": "HTTP"}]},
            "status": {"addresses": [{"value": HOST}], "conditions": conditions("Accepted", "Programmed")},
        },
    )


def destination_rule(mode: str) -> Json:
    """Return how Istio speaks to the picker."""
    spec = {
        "host": f"llama-epp.{NAMESPACE}.svc.cluster.local",
        "trafficPolicy": {"tls": {"mode": mode, "insecureSkipVerify": True}},
    }
    return {"metadata": {"name": "llama-epp"}, "spec": spec}


def put_pod(api: KubeApi, name: str, ip: str, labels: dict[str, str], container: Json, **more: Any) -> None:
    """Make a pod of one container."""
    one = pod(name, ip, labels=labels, **more)
    api.put(f"{CORE}/pods", one | {"spec": {"serviceAccountName": "llama-epp", "containers": [container]}})


@contextlib.asynccontextmanager
async def running_doctor_cluster() -> AsyncIterator[DoctorCluster]:
    """Run a healthy cluster while the context is open."""
    servers, picker = [FakeServer(), FakeServer()], FakePicker()
    gateway = FakeGateway(picker, servers[0])
    parts: list[FakeServer | FakePicker | FakeGateway] = [*servers, picker, gateway]
    api = ProxyingApi(namespace=NAMESPACE, kinds=set(KINDS))
    async with contextlib.AsyncExitStack() as stack:
        for part, port in zip(parts, free_ports(HOST, [0] * len(parts)), strict=True):
            part.port = port
            await stack.enter_async_context(listening_http(part.application(), host=HOST, port=port))
        api.backends = {"vllm-0:8000": servers[0].port, "vllm-1:8000": servers[1].port, "llama-epp-0:9090": picker.port}
        await api.start()
        stack.push_async_callback(api.stop)
        _fill(api, gateway.port)
        yield DoctorCluster(api, servers, picker, gateway)
