"""What authors write: one small class for each extension point, which a type checker takes for what it is.

It is checked and hardly run: `make types` reads it with mypy and with pyright, as strictly as both can.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import (
    Admitter,
    Attribute,
    BackgroundWorker,
    ConfigurationError,
    Connected,
    DataSource,
    Decider,
    Decision,
    Discovery,
    DoneObserver,
    DropReason,
    Endpoint,
    EndpointLostObserver,
    EndpointRemovedObserver,
    EndpointSpec,
    Extractor,
    Fetch,
    FetchError,
    Filter,
    FlowControlPolicy,
    InferenceRequest,
    Load,
    ParsedBody,
    Parser,
    Picker,
    PluginContext,
    PluginParams,
    PrefixMatches,
    Problem,
    Producer,
    ProfileHandler,
    ProfileResult,
    Reading,
    Rejection,
    Response,
    ResponseHeadObserver,
    RoutedObserver,
    SaturationDetector,
    Scorer,
    ScrapedObserver,
    Sign,
)
from epp.plugin.testing import make_context


class IdleFilter:
    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in candidates if not endpoint.load.waiting]


class CachedScorer:
    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)
    consumes_from: ClassVar[Mapping[type[Attribute], str]] = {PrefixMatches: "cpu-matches"}

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        matches = request.attribute(PrefixMatches, producer="cpu-matches")
        return [matches.ratio(endpoint) if matches else 0.0 for endpoint in candidates]


class FirstPicker:
    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> list[Endpoint]:
        return [candidates[0]]


class FirstProfileHandler:
    max_profiles: ClassVar[int] = 1

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        return () if results else profiles[:1]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        (result,) = results.values()
        return Decision(endpoints=result.picked, results=results)


class LongPromptDecider:
    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        rest = request.prompt_tokens if decode is None else request.uncached_tokens(decode)
        return rest > 1000


class LineParser:
    paths: Sequence[str] = ("lines",)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        model, _, prompt = body.partition(b"\n")
        if not model:
            raise Rejection(DropReason.BAD_REQUEST, "the first line is the model's name", param="model")
        return ParsedBody(model=model.decode(), prompts=[prompt])


@dataclass(frozen=True, slots=True)
class Region(Attribute):
    name: str


class RegionParams(PluginParams):
    header: str
    pause_s: Annotated[float, Meta(ge=0)] = 0.0


class PromptRegionProducer:
    """Attaches at once."""

    produces: ClassVar[Sequence[type[Attribute]]] = (Region,)

    def __init__(self, params: RegionParams, context: PluginContext) -> None:
        self._header = params.header
        self._name = context.name

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        request.attach(Region(request.head.get(self._header, "")), producer=self._name)


class SlowRegionProducer:
    """Has to wait for what it attaches, sometimes."""

    deadline_s: ClassVar[float] = 0.1

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Awaitable[None] | None:
        return self._ask(request) if request.prompts else None

    async def _ask(self, request: InferenceRequest) -> None:
        await asyncio.sleep(0)
        request.attach(Region("north"))


class AsyncRegionProducer:
    """Always has to wait."""

    async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        await asyncio.sleep(0)
        request.attach(Region("south"))


class LengthAdmitter:
    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        if request.prompt_tokens > 1_000_000:
            raise Rejection(DropReason.SATURATED, "too long for now")


class Heartbeat:
    def __init__(self, context: PluginContext) -> None:
        self._log = context.log
        self._count = context.metrics.counter("heartbeats_total", "Beats.")

    async def run_in_background(self) -> None:
        while True:
            self._count.inc()
            self._log.debug("heart_beat")
            await asyncio.sleep(1.0)


class Follower:
    """Uses another plugin."""

    def connect(self, plugins: Mapping[str, object]) -> None:
        one = plugins.get("heartbeat")
        if not isinstance(one, Heartbeat):
            raise ConfigurationError([Problem("heartbeat", "names no heartbeat")])


class Ledger:
    """Is told of everything."""

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None: ...

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        return {"x-served-by": decision.primary.name} if response.status == 200 else None

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None: ...

    def on_scraped(self, endpoint: Endpoint) -> None: ...

    def on_endpoint_lost(self, endpoint: Endpoint) -> None: ...

    def on_endpoint_removed(self, endpoint: Endpoint) -> None: ...


class QuietHeadObserver:
    """Wants no headers."""

    def on_response_head(self, request: InferenceRequest, decision: Decision, response: Response) -> None: ...


class OneEndpointDiscovery:
    async def watch(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        publish([EndpointSpec(name="only", address="10.0.0.1", port=8000)])


class LengthSource:
    interval_s: ClassVar[float] = 0.5

    @asynccontextmanager
    async def open_pages(self) -> AsyncIterator[Fetch]:
        async def fetch(endpoint: Endpoint) -> bytes:
            if endpoint.port == 1:
                raise FetchError("refused", "nobody", sign=Sign.REFUSED)
            return b"3"

        yield fetch


class LengthExtractor:
    def read_load(self, endpoint: Endpoint, page: bytes) -> Reading:
        return Reading(load=Load(waiting=int(page))) if page.isdigit() else Reading(load=Load(), missing=["length"])


class QueueDetector:
    def saturation(self, candidates: Sequence[Endpoint]) -> float:
        return max(((endpoint.load.waiting or 0) / 10 for endpoint in candidates), default=0.0)


class LastComesFirst:
    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.ORDERING


context = make_context()

a_filter: Filter = IdleFilter()
a_scorer: Scorer = CachedScorer()
a_picker: Picker = FirstPicker()
a_profile_handler: ProfileHandler = FirstProfileHandler()
a_decider: Decider = LongPromptDecider()
a_parser: Parser = LineParser()
a_producer: Producer = PromptRegionProducer(RegionParams(header="x-region"), context)
a_producer_that_may_wait: Producer = SlowRegionProducer()
a_producer_that_waits: Producer = AsyncRegionProducer()
an_admitter: Admitter = LengthAdmitter()
a_background_worker: BackgroundWorker = Heartbeat(context)
a_connected_one: Connected = Follower()
an_observer_of_decisions: RoutedObserver = Ledger()
an_observer_of_answers: ResponseHeadObserver = Ledger()
an_observer_of_answers_without_headers: ResponseHeadObserver = QuietHeadObserver()
an_observer_of_ended_requests: DoneObserver = Ledger()
an_observer_of_loads: ScrapedObserver = Ledger()
an_observer_of_lost_endpoints: EndpointLostObserver = Ledger()
an_observer_of_endpoints: EndpointRemovedObserver = Ledger()
a_discovery: Discovery = OneEndpointDiscovery()
a_data_source: DataSource = LengthSource()
an_extractor: Extractor = LengthExtractor()
a_saturation_detector: SaturationDetector = QueueDetector()
