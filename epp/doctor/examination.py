"""The order of the checks, and what each needs of those before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from epp.doctor import (
    access,
    address,
    gateways,
    health,
    istio,
    journey,
    pages,
    picker,
    pool,
    port,
    routes,
    servers,
    traffic,
)
from epp.doctor.address import Address
from epp.doctor.istio_objects import EnvoyFilter
from epp.doctor.journey import Sent
from epp.doctor.objects import FullPod, Gateway, PodSpec
from epp.doctor.picker import Picker, PickerService
from epp.doctor.pool import Pool
from epp.doctor.reaching import Direct, Proxied, Reach
from epp.doctor.reading import Reader
from epp.doctor.servers import Server
from epp.doctor.verdict import Found, Known, Report, Sheet
from epp.kube.connection import Api, KubeError, connected
from epp.plugin import ConfigurationError

UNAUTHORIZED = 401
NO_PICKER = Picker(PodSpec(), [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked at."""

    pool_name: str
    pool_namespace: str = ""
    """That of the kubeconfig's context, or of the pod, when empty."""
    pool_group: str
    gateway: str | None = None
    """The one of this name; ``None``: all that routes attach to."""
    url: str | None = None
    """Where the request is sent; ``None``: to an address of the Gateway."""
    model: str | None = None
    timeout_s: float = 10.0


async def examine(question: Question) -> Report:
    """Run all checks; raises `ConfigurationError` when there is no cluster."""
    async with connected() as api:
        return await examine_at(api, question)


async def examine_at(api: Api, question: Question) -> Report:
    """Run all checks at an API server; raises `ConfigurationError` when it does not let us in."""
    reader = Reader(api, timeout_s=question.timeout_s)
    await _greet(reader)
    async with aiohttp.ClientSession() as http:
        reach = Direct(http, timeout_s=question.timeout_s) if api.is_in_pod else Proxied(reader)
        namespace = question.pool_namespace or api.namespace
        examination = Examination(reader, reach, question, namespace)
        await examination.run()
    return Report(pool=question.pool_name, namespace=namespace, rows=examination.sheet.rows)


async def _greet(reader: Reader) -> None:
    """Make sure that somebody is there."""
    try:
        await reader.content("/version")
    except KubeError as error:
        if error.status is None:
            raise ConfigurationError([f"no Kubernetes cluster answers: {error}"]) from error
        if error.status == UNAUTHORIZED:
            raise ConfigurationError([f"the Kubernetes cluster does not let us in: {error}"]) from error


class Examination:
    """All checks, in their order."""

    def __init__(self, reader: Reader, reach: Reach, question: Question, namespace: str) -> None:
        self.sheet = Sheet()
        self._reader = reader
        self._reach = reach
        self._question = question
        self._namespace = namespace

    async def run(self) -> None:
        """Run them."""
        found = await self._look_at_pool()
        service, deciding, pickers = await self._look_at_picker(found)
        endpoints, model = await self._look_at_servers(found, deciding)
        gates, where = await self._look_at_gateways(found)
        filters = await self._look_at_istio(service, deciding, gates)
        sent = await self.sheet.run("request", lambda: self._send(where, model))
        await self.sheet.run(
            "decision",
            lambda: journey.find_decision(self._reach, pickers.value, sent.value, endpoints.value_or([])),
        )
        await self.sheet.run("body mode", lambda: traffic.check_body_modes(self._reach, pickers.value, filters))

    async def _look_at_pool(self) -> Known[Pool]:
        name, group = self._question.pool_name, self._question.pool_group
        found = await self.sheet.run(
            "pool", lambda: pool.find_pool(self._reader, group=group, namespace=self._namespace, name=name)
        )
        await self.sheet.run("pool accepted", lambda: pool.check_accepted(found.value))
        return found

    async def _look_at_picker(
        self, found: Known[Pool]
    ) -> tuple[Known[PickerService], Known[Picker], Known[Sequence[FullPod]]]:
        """Return the picker's Service, the picker, and those of its pods that answer."""
        run, reader, reach = self.sheet.run, self._reader, self._reach
        service = await run("picker service", lambda: picker.find_service(reader, found.value))
        deciding = await run("picker pods", lambda: picker.find_pods(reader, service.value))
        await run("picker port", lambda: port.check_target(service.value, deciding.value))
        await run("picker protocol", lambda: port.check_protocol(service.value, deciding.value))
        await run(
            "picker access",
            lambda: access.check_access(reader, found.value, deciding.value, is_in_pod=reach.is_direct),
        )
        timeout_s = self._question.timeout_s
        answering = await run("picker health", lambda: health.check_health(reach, deciding.value, timeout_s=timeout_s))
        return service, deciding, answering

    async def _look_at_servers(
        self, found: Known[Pool], deciding: Known[Picker]
    ) -> tuple[Known[Sequence[Server]], Known[str]]:
        """Return the endpoints, and the model to ask for."""
        run, reach, wanted = self.sheet.run, self._reach, self._question.model
        known = {pod.metadata.name for pod in deciding.value_or(NO_PICKER).pods}
        pods = await run("model servers", lambda: servers.find_pods(self._reader, found.value))
        await run("similar pods", lambda: servers.check_near_misses(self._reader, found.value, pods.value, known=known))
        endpoints = await run("endpoints", lambda: servers.find_endpoints(found.value, pods.value))
        await run("metrics", lambda: pages.check_metrics(reach, servers.over_http(found.value, endpoints.value)))
        model = await run(
            "models", lambda: pages.find_models(reach, servers.over_http(found.value, endpoints.value), wanted)
        )
        return endpoints, model

    async def _look_at_gateways(self, found: Known[Pool]) -> tuple[Sequence[Gateway], Known[Address]]:
        """Return the Gateways, and where to send a request."""
        run, reader, name = self.sheet.run, self._reader, self._question.gateway
        url = self._question.url
        leading = await run(
            "routes", lambda: routes.find_routes(reader, found.value, gateway=name, has_url=url is not None)
        )
        await run("routes accepted", lambda: routes.check_accepted(leading.value))
        gates = await run("gateways", lambda: gateways.find_gateways(reader, leading.value, name=name))
        await run("gateway pods", lambda: gateways.check_pods(reader, gates.value))
        if url is None:
            where = await run("gateway address", lambda: address.find_address(gates.value, leading.value, found.value))
        else:
            asked = leading.value_or([])
            where = await run("gateway address", lambda: address.given_address(url, asked, found.value))
        return gates.value_or([]), where

    async def _look_at_istio(
        self, service: Known[PickerService], deciding: Known[Picker], gates: Sequence[Gateway]
    ) -> Sequence[EnvoyFilter]:
        """Return the EnvoyFilters about ext_proc."""
        reader, namespaces = self._reader, [self._namespace, *(gate.metadata.namespace for gate in gates)]
        await self.sheet.run("istio tls", lambda: istio.check_tls(reader, service.value, deciding.value, gates))
        filters = await self.sheet.run("envoy filters", lambda: istio.find_filters(reader, namespaces))
        return filters.value_or([])

    async def _send(self, where: Known[Address], model: Known[str]) -> Found[Sent]:
        wanted = self._question.model or model.value
        return await journey.send_request(where.value, wanted, timeout_s=self._question.timeout_s)
