"""What the model servers say themselves: their metrics, and the models that they serve."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from epp.datalayer.core_metrics import CoreMetricsExtractor, Params
from epp.doctor.reaching import PROXY_ADVICE, PodError, Reach
from epp.doctor.servers import Server
from epp.doctor.verdict import FailedError, Found, Outcome, SkippedError
from epp.kube.connection import FORBIDDEN, KubeError
from epp.kube.reflector import decoded
from epp.plugin import Endpoint, Load

MAX_ASKED = 50
"""Endpoints that are asked; of a larger pool the first."""
AT_A_TIME = 8
T = TypeVar("T")


class _Model(Struct):
    id: str = ""


class _Models(Struct):
    data: list[_Model] | None = None


async def check_metrics(reach: Reach, servers: Sequence[Server]) -> Found[None]:
    """Tell whether the picker finds every endpoint's load on its metrics page."""
    extractor = CoreMetricsExtractor(Params())

    async def problem(server: Server) -> str:
        reading = extractor.read_load(Endpoint(server.spec), await reach.page(server.pod, server.spec.port, "/metrics"))
        if reading.load == Load():
            return "no metric of an engine that is known"
        return f"without {', '.join(reading.missing)}" if reading.missing else ""

    asked = servers[:MAX_ASKED]
    problems = [f"{name}: {text}" for name, text in (await _ask_all(problem, asked)).items() if text]
    if problems:
        raise FailedError(
            f"/metrics of {len(problems)} of {len(asked)} endpoints lacks what scorers want: {'; '.join(problems)}",
            "the engine's metrics have to be on (vLLM: no --disable-log-stats); for other names set engineConfigs "
            "of core-metrics-extractor",
        )
    return Found(None, f"/metrics of {len(asked)} of {len(servers)} endpoints is complete")


async def find_models(reach: Reach, servers: Sequence[Server], wanted: str | None) -> Found[str]:
    """Return the model to ask for: what is wanted, or the first that is served."""

    async def names(server: Server) -> Sequence[str]:
        content = await reach.page(server.pod, server.spec.port, "/v1/models")
        return [one.id for one in decoded(content, _Models, "/v1/models").data or ()]

    answers = await _ask_all(names, servers[:MAX_ASKED])
    silent = {name: str(answer) for name, answer in answers.items() if isinstance(answer, KubeError)}
    lists = [answer for answer in answers.values() if not isinstance(answer, KubeError)]
    served = list(dict.fromkeys(name for answer in lists for name in answer))
    if not served:
        said = "; ".join(f"{name}: {text}" for name, text in silent.items()) or "the list is empty"
        raise FailedError(f"/v1/models names no model: {said}", "with --model NAME the request is sent all the same")
    listed = f"{', '.join(served)}; requests name this, not the Deployment or the pool"
    model = wanted or served[0]
    if model not in served:
        advice = f"say --model {served[0]}; another name works only where an InferenceModelRewrite knows it"
        return Found(model, f"`{model}` is not served; served: {listed}", advice, Outcome.WARN)
    if len({frozenset(answer) for answer in lists}) > 1:
        advice = "the picker takes them for equal: a pool for each model, or one --served-model-name for all"
        return Found(model, f"endpoints of the pool serve different models: {listed}", advice, Outcome.WARN)
    if silent:
        message = f"{listed}; no answer of {', '.join(silent)}: {next(iter(silent.values()))}"
        return Found(model, message, "kubectl logs of that pod says why", Outcome.WARN)
    return Found(model, listed)


async def _ask_all(ask: Callable[[Server], Awaitable[T]], servers: Sequence[Server]) -> Mapping[str, T | KubeError]:
    """Return what each endpoint said, or why it did not; raises `SkippedError` when it is not allowed to ask."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def answer(server: Server) -> T | KubeError:
        async with turns:
            try:
                return await ask(server)
            except KubeError as error:
                return error

    answers = await asyncio.gather(*(answer(server) for server in servers))
    refused = [one for one in answers if _is_refusal(one)]
    if refused and len(refused) == len(answers):
        raise SkippedError(f"not allowed to ask the pods: {refused[0]}", PROXY_ADVICE)
    return {server.spec.name: one for server, one in zip(servers, answers, strict=True)}


def _is_refusal(answer: object) -> bool:
    """Tell whether the API server does not let us ask; what a pod refuses is its own matter."""
    return isinstance(answer, KubeError) and not isinstance(answer, PodError) and answer.status == FORBIDDEN
