"""Tests of the example, written as a plugin author would: a real service on loopback, and the builders for the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from epp.plugin import ConfigurationError, InferenceRequest
from epp.plugin.testing import make_endpoint, make_request
from lookup_producer import LookupProducer, Params, PreferenceScorer, PreferredEndpoints

POOL = [make_endpoint("pod-1"), make_endpoint("pod-2")]
ALICE = {"x-user": "alice & co"}


async def answer(request: web.Request) -> web.Response:
    """Know one user, and fall over one."""
    match request.query["user"]:
        case "alice & co":
            return web.json_response({"endpoints": ["pod-2"]})
        case "mallory":
            return web.json_response({"endpoints": "all"})
        case _:
            return web.json_response({"endpoints": []})


@asynccontextmanager
async def working(*, path: str = "/preferences", url: str | None = None) -> AsyncIterator[LookupProducer]:
    """Yield a producer that works in the background, beside the service that it asks."""
    service = web.Application()
    service.router.add_get("/preferences", answer)
    async with TestServer(service) as server, asyncio.TaskGroup() as tasks:
        producer = LookupProducer(Params(url=url or str(server.make_url(path))))
        worker = tasks.create_task(producer.run_in_background())
        await asyncio.sleep(0)
        yield producer
        worker.cancel()


async def scores_after(producer: LookupProducer, request: InferenceRequest) -> list[float]:
    pending = producer.produce(request, POOL)
    if pending is not None:
        await pending
    return PreferenceScorer().score(request, POOL)


@pytest.mark.parametrize(
    ("head", "scores"),
    [
        pytest.param(ALICE, [0.0, 1.0], id="a user with a preference"),
        pytest.param({"x-user": "bob"}, [0.0, 0.0], id="a user without"),
        pytest.param({}, [0.0, 0.0], id="nobody is named"),
    ],
)
async def test_endpoints_that_the_user_prefers_rate_1(head: dict[str, str], scores: list[float]) -> None:
    async with working() as producer:
        assert await scores_after(producer, make_request(head=head)) == scores


async def test_nobody_is_asked_before_there_are_connections_and_after_they_are_closed() -> None:
    request = make_request(head=ALICE)
    assert LookupProducer(Params(url="http://127.0.0.1:1")).produce(request, POOL) is None
    async with working() as producer:
        pass
    assert producer.produce(request, POOL) is None


async def test_failures_of_the_service_are_left_to_the_picker() -> None:
    async with working(path="/elsewhere") as producer:
        with pytest.raises(aiohttp.ClientResponseError):
            await scores_after(producer, make_request(head=ALICE))
    async with working() as producer:
        with pytest.raises(msgspec.ValidationError):
            await scores_after(producer, make_request(head={"x-user": "mallory"}))
    async with working(url="http://127.0.0.1:1") as producer:
        with pytest.raises(aiohttp.ClientConnectionError):
            await scores_after(producer, make_request(head=ALICE))


async def test_what_was_attached_can_be_seen() -> None:
    request = make_request(head=ALICE)
    async with working() as producer:
        await scores_after(producer, request)
    assert request.attribute(PreferredEndpoints) == PreferredEndpoints(frozenset({"pod-2"}))


def test_timeout_is_the_producers_deadline() -> None:
    assert LookupProducer(Params(url="http://service", timeout="1s")).deadline_s == 1.0


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        pytest.param(Params(url="service:80"), "url: must begin with http:// or https://", id="no URL"),
        pytest.param(Params(url="http://service", timeout="soon"), "timeout: `soon` is no", id="no time"),
    ],
)
def test_bad_parameters_stop_the_start(params: Params, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        LookupProducer(params)
