"""Matches from engines' own events, over real ZMQ sockets; approximate ones where those say nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import zmq.asyncio
from prometheus_client import CollectorRegistry

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.plugin import (
    Decision,
    Endpoint,
    InferenceRequest,
    PrefixMatches,
    PromptTokens,
    Response,
    TokenizedPrompt,
)
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.kvevents.params import KvEventsConfig, Params, PodDiscoveryConfig
from epp_plugins.producers.precise_prefix_cache import SILENT_REQUESTS, PrecisePrefixCacheProducer
from tests.fakes.kv_publisher import Publisher, removed, stored

BLOCK_TOKENS = 4
TOKENS = list(range(1, 41))
"""Of a prompt of ten blocks."""
PROMPT = b"abcd" * 400
"""Of a prompt of the same length by estimate, for the approximate index."""


@dataclass(frozen=True)
class Setting:
    """A producer that listens to one of two endpoints; nobody is at the other's address."""

    producer: PrecisePrefixCacheProducer
    heard: Endpoint
    silent: Endpoint
    publisher: Publisher
    registry: CollectorRegistry

    def produced(
        self, tokens: Sequence[int] = TOKENS, *, media_from: int | None = None, prompt: bytes = PROMPT
    ) -> InferenceRequest:
        request = make_request(prompts=[prompt])
        request.attach(PromptTokens(prompts=[TokenizedPrompt(tokens, media_from)]))
        self.producer.produce(request, [self.heard, self.silent])
        return request

    def ratio(self, endpoint: Endpoint, tokens: Sequence[int] = TOKENS, *, media_from: int | None = None) -> float:
        matches = self.produced(tokens, media_from=media_from).attribute(PrefixMatches)
        assert matches is not None
        return round(matches.ratio(endpoint), 2)

    def serve(self, endpoint: Endpoint, tokens: Sequence[int] = TOKENS, *, prompt: bytes = PROMPT) -> None:
        """Have a request served by an endpoint, from beginning to end."""
        request, decision = self.produced(tokens, prompt=prompt), Decision(endpoints=[endpoint])
        self.producer.on_routed(request, decision)
        self.producer.on_response_head(request, decision, Response(status=200))
        self.producer.on_done(request, decision, Response(status=200))

    def is_exact(self, endpoint: Endpoint) -> bool:
        self.producer.on_scraped(endpoint)
        labels = {"plugin": "plugin", "endpoint": endpoint.key}
        return self.registry.get_sample_value("epp_prefix_is_exact", labels) == 1

    @property
    def blocks(self) -> float | None:
        return self.registry.get_sample_value("epp_prefix_exact_blocks", {"plugin": "plugin"})

    async def wait_for_blocks(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.blocks != count:
                await asyncio.sleep(0.01)

    async def wait_for(self, ratio: float, tokens: Sequence[int] = TOKENS) -> None:
        async with asyncio.timeout(10):
            while self.ratio(self.heard, tokens) != ratio:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def setting() -> AsyncIterator[Setting]:
    port, replay_port = free_ports(HOST, [0, 0])
    sockets = PodDiscoveryConfig(socket_port=port, replay_socket_port=replay_port)
    params = Params(kv_events_config=KvEventsConfig(pod_discovery_config=sockets))
    context = make_context()
    producer = PrecisePrefixCacheProducer(params, context)
    heard, silent = make_endpoint("heard", address=HOST), make_endpoint("silent", address="127.0.0.9")
    with zmq.asyncio.Context() as sockets_of_engine:
        publisher = Publisher(
            sockets_of_engine, address=f"tcp://{HOST}:{port}", replay_address=f"tcp://{HOST}:{replay_port}"
        )
        publisher.keep(0, stored([90, 91, 92, 93], names=[1]))
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(publisher.answer()), tasks.create_task(producer.run_in_background())]
                for endpoint in (heard, silent):
                    producer.on_scraped(endpoint)
                one = Setting(producer, heard, silent, publisher, context.metrics.registry)
                await one.wait_for(0.8, [90, 91, 92, 93, 94])
                await asyncio.sleep(0.2)  # until the publisher, too, knows of the subscription
                yield one
                for task in running:
                    task.cancel()
        finally:
            publisher.close()


async def test_what_an_engine_says_it_has_matches_although_nothing_was_sent_there() -> None:
    async with setting() as one:
        await one.publisher.publish(1, stored(TOKENS[:32], names=list(range(10, 18))))
        await one.wait_for(0.8)
        assert one.ratio(one.silent) == 0.0


async def test_last_token_of_a_prompt_is_always_computed() -> None:
    async with setting() as one:
        await one.publisher.publish(1, stored(TOKENS, names=list(range(10, 20))))
        await one.wait_for(0.9)
        assert one.ratio(one.heard, [*TOKENS, 99]) == pytest.approx(40 / 41, abs=0.01)


async def test_what_an_engine_has_let_go_of_does_not_match_although_it_was_sent_there() -> None:
    async with setting() as one:
        one.serve(one.heard)
        await one.publisher.publish(1, stored(TOKENS, names=list(range(10, 20))), removed(15))
        await one.wait_for(0.5)


async def test_engine_that_is_not_heard_matches_approximately() -> None:
    async with setting() as one:
        one.serve(one.silent)
        assert one.ratio(one.silent) > 0.9


async def test_request_on_its_way_counts_until_it_is_over() -> None:
    async with setting() as one:
        request, decision = one.produced(), Decision(endpoints=[one.heard])
        one.producer.on_routed(request, decision)
        assert one.ratio(one.heard) == 0.9
        one.producer.on_done(request, decision, Response())
        assert one.ratio(one.heard) == 0.0


async def test_request_that_is_refused_counts_no_more() -> None:
    async with setting() as one:
        request, decision = one.produced(), Decision(endpoints=[one.heard])
        one.producer.on_routed(request, decision)
        one.producer.on_response_head(request, decision, Response(status=503))
        assert one.ratio(one.heard) == 0.0


async def test_request_that_a_fallback_served_counts_there() -> None:
    async with setting() as one:
        request, decision = one.produced(), Decision(endpoints=[one.silent, one.heard])
        one.producer.on_routed(request, decision)
        assert one.ratio(one.heard) == 0.0
        one.producer.on_response_head(request, decision, Response(status=200, served_by=one.heard.host_port))
        assert one.ratio(one.heard) == 0.9


async def test_engine_whose_events_do_not_name_what_it_serves_matches_approximately_until_they_do() -> None:
    async with setting() as one:
        prompts = [(list(range(1000 * i, 1000 * i + 40)), b"%04d" % i * 400) for i in range(1, SILENT_REQUESTS + 2)]
        for tokens, prompt in prompts[:SILENT_REQUESTS]:
            assert one.ratio(one.heard) == 0.0
            one.serve(one.heard, tokens, prompt=prompt)
        one.serve(one.heard)
        assert one.ratio(one.heard) > 0.9
        assert not one.is_exact(one.heard)
        tokens, prompt = prompts[-1]
        request, decision = one.produced(tokens, prompt=prompt), Decision(endpoints=[one.heard])
        one.producer.on_routed(request, decision)
        await one.publisher.publish(1, stored(tokens, names=list(range(10, 20))))
        await one.wait_for_blocks(1 + 10)
        one.producer.on_done(request, decision, Response(status=200))
        assert one.is_exact(one.heard)
        assert one.ratio(one.heard) == 0.0


async def test_many_requests_with_one_beginning_do_not_speak_for_a_silent_engine() -> None:
    async with setting() as one:
        decision = Decision(endpoints=[one.heard])
        requests = [one.produced() for _ in range(SILENT_REQUESTS)]
        for request in requests:
            one.producer.on_routed(request, decision)
        for request in requests:
            one.producer.on_done(request, decision, Response(status=200))
        assert not one.is_exact(one.heard)


async def test_connection_that_breaks_leaves_approximate_matches() -> None:
    async with setting() as one:
        await one.publisher.publish(1, stored(TOKENS[:20], names=list(range(10, 15))))
        await one.wait_for(0.5)
        assert one.is_exact(one.heard)
        one.publisher.close()
        await one.wait_for(0.0)
        assert not one.is_exact(one.heard)
        one.serve(one.heard)
        assert one.ratio(one.heard) > 0.9


async def test_prompt_with_an_image_matches_up_to_it_or_as_far_as_it_was_sent() -> None:
    async with setting() as one:
        await one.publisher.publish(1, stored(TOKENS, names=list(range(10, 20))))
        await one.wait_for(0.9)
        assert one.ratio(one.heard, media_from=20) == 0.5
        one.serve(one.heard)
        assert one.ratio(one.heard, media_from=20) > 0.9


async def test_endpoint_that_leaves_is_not_listened_to_any_more() -> None:
    async with setting() as one:
        await one.publisher.publish(1, stored(TOKENS, names=list(range(10, 20))))
        await one.wait_for_blocks(1 + 10)
        one.heard.has_left = True
        one.producer.on_endpoint_removed(one.heard)
        await one.publisher.publish(2, stored([7, 7, 7, 7], names=[30]))
        await asyncio.sleep(0.1)
        assert one.blocks == 0
