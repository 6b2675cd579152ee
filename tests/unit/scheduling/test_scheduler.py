"""The loop of the profile handler."""

from collections.abc import Mapping, Sequence

from epp.plugin import Decision, Endpoint, InferenceRequest, ProfileResult
from epp.plugin.testing import make_endpoint, make_request
from epp.scheduling import Profile, Scheduler
from tests.fakes.picker import assembly_of
from tests.fakes.scheduling import IN_PLAY


class PicksFirst:
    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        return candidates[:1]


class AsksForever:
    """Asks for every profile again and again, and decides for the last one's pick."""

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        return [*profiles, *profiles]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        return Decision(endpoints=list(results.values())[-1].picked, results=results)


def test_every_profile_runs_once_in_order() -> None:
    profiles = [Profile(name, [], [], PicksFirst(), IN_PLAY) for name in ("prefill", "decode")]
    decision = Scheduler(profiles, AsksForever()).schedule(make_request(), [make_endpoint()])
    assert list(decision.results) == ["prefill", "decode"]


class AsksOneByOne(AsksForever):
    """Asks for one profile after the other, and notes how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        self.calls += 1
        return profiles[len(results) : len(results) + 1]


def test_handler_is_not_asked_again_once_every_profile_has_run() -> None:
    profiles = [Profile(name, [], [], PicksFirst(), IN_PLAY) for name in ("prefill", "decode")]
    handler = AsksOneByOne()
    Scheduler(profiles, handler).schedule(make_request(), [make_endpoint()])
    assert handler.calls == 2


def test_same_input_and_seed_give_the_same_picks() -> None:
    candidates = [make_endpoint(f"pod-{i}") for i in range(8)]

    def picks() -> list[str]:
        assembly, _ = assembly_of()
        return [assembly.scheduler.schedule(make_request(), candidates).primary.name for _ in range(20)]

    assert picks() == picks()
    assert len(set(picks())) > 1
