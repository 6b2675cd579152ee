"""A server that does not say which kinds of policies it has."""

import asyncio
import contextlib
import io
import itertools
import json
import random
from typing import cast

from prometheus_client import CollectorRegistry

from epp.director.policies import PolicySet
from epp.kube.connection import Api, KubeError
from epp.kube.policies import LOOK_AGAIN_S, OBJECTIVES, RETRY_S, REWRITES, SETTLE_S, ClusterPolicies
from epp.kube.reflector import KubeContext
from epp.observability import Metrics, make_logger
from tests.fakes.virtual_time import run

RESOURCES = 2
LATE_S, UNTIL_S = 150.0, 300.0


class Server:
    """Answers with 503 until some moment of the loop's clock, again from another one on, and has no policies."""

    def __init__(self, answers: range) -> None:
        self.asked_at_s: list[float] = []
        self._answers = answers

    async def request(self, _method: str, path: str) -> bytes:
        now_s = asyncio.get_running_loop().time()
        self.asked_at_s.append(now_s)
        if int(now_s) not in self._answers:
            raise KubeError(f"GET {path}: 503: away", status=503)
        return b'{"resources": []}'


def followed(server: Server, *, until_s: float) -> list[dict[str, str]]:
    """Follow for so long; returns what was logged."""
    log = io.StringIO()
    context = KubeContext(
        api=cast("Api", server),
        namespace="default",
        metrics=Metrics(CollectorRegistry()),
        log=make_logger(1, stream=log),
        random=random.Random(0),
    )

    def use(_policies: PolicySet) -> None:
        pass

    async def follow() -> None:
        async with asyncio.timeout(until_s):
            await ClusterPolicies(context, None, use, settled=lambda: None).run()

    with contextlib.suppress(TimeoutError):
        run(follow())
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_it_is_asked_often_while_requests_wait_and_then_less_and_less() -> None:
    server = Server(range(0))
    followed(server, until_s=UNTIL_S)
    first = [at_s for at_s in server.asked_at_s if at_s < SETTLE_S]
    late = [at_s for at_s in server.asked_at_s if at_s > LATE_S]
    pauses_s = [after - before for before, after in itertools.pairwise(server.asked_at_s)]
    assert len(first) >= RESOURCES * (SETTLE_S / RETRY_S - 1)
    assert len(late) <= RESOURCES * (UNTIL_S - LATE_S) / LOOK_AGAIN_S / 0.8
    assert max(pauses_s) <= 1.2 * LOOK_AGAIN_S


def test_each_outage_is_named_once_for_a_resource() -> None:
    events = followed(Server(range(20, 100)), until_s=UNTIL_S)
    complaints = [event for event in events if event["event"] == "kube_discovery_failed"]
    assert sorted(event["resource"] for event in complaints) == [REWRITES, REWRITES, OBJECTIVES, OBJECTIVES]
    assert all("503" in event["error"] for event in complaints)
