"""The recipe, from a complete request to a decision or a refusal."""

import asyncio
from collections.abc import Sequence

import pytest

from epp.director import ArrivedRequest
from epp.observability import Guard, Metrics
from epp.observability.lifecycle_guards import GuardedProducer
from epp.plugin import DropReason, Endpoint, InferenceRequest, Rejection
from epp.plugin.testing import make_context, make_endpoint
from tests.fakes.picker import director_of

CHAT = b'{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}'


def arrived(
    body: bytes | None = CHAT,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    subset: tuple[str, ...] | None = None,
) -> ArrivedRequest:
    return ArrivedRequest({":path": path, ":method": method, "x-request-id": "abc"}, body, subset)


async def rejection_of(request: ArrivedRequest, pool: Sequence[Endpoint]) -> Rejection:
    with pytest.raises(Rejection) as caught:
        await director_of(pool).route(request)
    return caught.value


async def test_request_goes_to_an_endpoint_of_the_pool() -> None:
    endpoint = make_endpoint()
    routed = await director_of([endpoint]).route(arrived())
    assert routed.decision.primary is endpoint
    assert (routed.request.id, routed.request.model) == ("abc", "tiny")


async def test_same_prompt_goes_where_it_went_before() -> None:
    director = director_of([make_endpoint(f"pod-{i}", address=f"10.0.0.{i}") for i in range(1, 9)])
    body = b'{"model": "tiny", "prompt": "%s"}' % (b"the same long beginning " * 40)
    first = await director.route(arrived(body, path="/v1/completions"))
    again = [await director.route(arrived(body, path="/v1/completions")) for _ in range(20)]
    assert {one.decision.primary for one in again} == {first.decision.primary}


async def test_endpoint_that_is_not_ready_gets_nothing() -> None:
    ready, dead = make_endpoint("ready"), make_endpoint("dead", ready=False)
    director = director_of([dead, ready])
    assert {(await director.route(arrived())).decision.primary for _ in range(20)} == {ready}


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        pytest.param([], "the pool has no endpoints; retry later", id="empty"),
        pytest.param(
            [make_endpoint(ready=False)] * 3, "none of the pool's 3 endpoints is ready; retry later", id="none ready"
        ),
    ],
)
async def test_pool_without_a_ready_endpoint_is_503(pool: Sequence[Endpoint], message: str) -> None:
    rejection = await rejection_of(arrived(), pool)
    assert (rejection.refusal.status, rejection.reason, rejection.message) == (503, DropReason.NO_ENDPOINTS, message)


async def test_bad_request_is_400_even_on_an_empty_pool() -> None:
    assert (await rejection_of(arrived(b"{}"), [])).refusal.status == 400


async def test_post_without_a_body_is_400() -> None:
    assert (await rejection_of(arrived(b""), [make_endpoint()])).refusal.status == 400


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(arrived(b"", path="/v1/models", method="GET"), id="GET without a body"),
        pytest.param(arrived(b"", path="/v1/chat/completions", method="GET"), id="GET of a path that a parser claims"),
        pytest.param(arrived(None), id="body that the gateway keeps to itself"),
        pytest.param(arrived(b"\x00\xff", path="/v1/audio/transcriptions"), id="path that no parser claims"),
    ],
)
async def test_request_without_a_readable_body_is_routed_by_load(request_: ArrivedRequest) -> None:
    busy, idle = make_endpoint("busy", waiting=5), make_endpoint("idle", waiting=0)
    routed = await director_of([busy, idle]).route(request_)
    assert routed.decision.primary is idle
    assert routed.request.model == ""


async def test_subset_hint_limits_the_candidates_by_address_and_port() -> None:
    one, two = make_endpoint("one", port=8000), make_endpoint("two", port=8001)
    director = director_of([one, two])
    routed = [await director.route(arrived(subset=("10.0.0.1:8001", "10.9.9.9:1"))) for _ in range(10)]
    assert {each.decision.primary for each in routed} == {two}


@pytest.mark.parametrize("subset", [(), ("10.9.9.9:8000",)])
async def test_subset_without_a_ready_endpoint_is_503(subset: tuple[str, ...]) -> None:
    rejection = await rejection_of(arrived(subset=subset), [make_endpoint()])
    assert rejection.reason is DropReason.NO_ENDPOINTS


async def test_request_without_an_id_gets_one() -> None:
    request = ArrivedRequest({":path": "/v1/models", ":method": "GET"}, b"", None)
    director = director_of([make_endpoint()])
    routed = [await director.route(request) for _ in range(2)]
    assert len({one.request.id for one in routed}) == 2
    assert [one.headers for one in routed] == [{"x-request-id": one.request.id} for one in routed]


async def test_subset_hint_limits_a_request_without_a_body() -> None:
    """The Go pickers pick from the whole pool, at random."""
    request = ArrivedRequest({":path": "/v1/models", ":method": "GET"}, b"", ("10.0.0.1:8001",))
    director = director_of([make_endpoint("one", port=8000), make_endpoint("two", port=8001)])
    assert {(await director.route(request)).decision.primary.name for _ in range(10)} == {"two"}


async def test_rejection_of_a_producer_reaches_the_client_as_it_is() -> None:
    """The Go pickers make a 500 of it."""

    class Refuses:
        def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
            raise Rejection(DropReason.SATURATED, "not now")

    context = make_context()
    guard = Guard("refuses", metrics=Metrics(context.metrics.registry), log=context.log)
    director = director_of([make_endpoint()], producers=[GuardedProducer(guard, Refuses())])
    with pytest.raises(Rejection) as caught:
        await director.route(arrived())
    assert (caught.value.refusal.status, caught.value.message) == (429, "not now")


async def test_request_with_an_id_keeps_it() -> None:
    assert (await director_of([make_endpoint()]).route(arrived())).headers == {}


async def test_endpoint_that_leaves_while_a_producer_waits_is_not_picked() -> None:
    """The pool is read again after the last await: nothing is picked from an old picture."""
    pool = [make_endpoint("gone")]

    class Waits:
        async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
            await asyncio.sleep(0)
            pool[:] = [make_endpoint("stays")]

    context = make_context()
    guard = Guard("waits", metrics=Metrics(context.metrics.registry), log=context.log)
    director = director_of(lambda: pool, producers=[GuardedProducer(guard, Waits())])
    assert (await director.route(arrived())).decision.primary.name == "stays"


async def test_any_endpoint_is_a_ready_one_of_the_subset() -> None:
    pool = [make_endpoint("dead", ready=False), make_endpoint("out", port=1), make_endpoint("in", port=2)]
    director = director_of(pool)
    assert {director.any_endpoint(("10.0.0.1:8000", "10.0.0.1:2")) for _ in range(20)} == {pool[2]}
    assert {director.any_endpoint(None) for _ in range(50)} == set(pool[1:])
    assert director.any_endpoint(()) is None


async def test_body_that_was_cut_is_read_as_far_as_it_goes() -> None:
    request = ArrivedRequest({":path": "/v1/completions", ":method": "POST"}, CHAT[:20], None, is_cut=True)
    assert (await director_of([make_endpoint()]).route(request)).request.model == "tiny"


async def test_cache_salt_separates_prompts() -> None:
    director = director_of([make_endpoint(f"pod-{i}", address=f"10.0.0.{i}") for i in range(1, 9)])

    async def picks(salt: bytes) -> set[str]:
        body = b'{"model": "m", "cache_salt": "%s", "prompt": "%s"}' % (salt, b"the same long beginning " * 40)
        routed = [await director.route(arrived(body, path="/v1/completions")) for _ in range(10)]
        return {one.decision.primary.name for one in routed}

    by_salt = [await picks(b"%d" % salt) for salt in range(20)]
    assert {len(one) for one in by_salt} == {1}
    assert len(set.union(*by_salt)) > 1
