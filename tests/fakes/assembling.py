"""Plugins that go wrong in their own ways, and configurations with them."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint

import pytest

from epp.assembled import Assembly
from epp.plugin import (
    Attribute,
    ConfigurationError,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PluginParams,
    Problem,
    read_duration,
)
from epp.registry import Registry
from tests.fakes.picker import assembly_of

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


class NeedsTheImpossible:
    def __init__(self, database: str) -> None:
        self.database = database

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        raise AssertionError


class FailsToStart:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class FailsOverItsMode:
    """Raises as authors do who have not read much."""

    def __init__(self, context: PluginContext) -> None:
        raise ConfigurationError(f"mode of {context.name} is bad")


class Params(PluginParams):
    keep_for: str = "30s"
    friend: str = "nobody"


class KeepsFor:
    """Checks a parameter itself, and another one when all plugins are there."""

    def __init__(self, params: Params) -> None:
        self._friend = params.friend
        self._keep_for_s = read_duration(params.keep_for, "keepFor", at_least_s=1.0)

    def connect(self, plugins: Mapping[str, object]) -> None:
        raise ConfigurationError(Problem("friend", f"no plugin is named `{self._friend}`"))


class First(Attribute):
    pass


class Second(Attribute):
    pass


class MakesFirst:
    produces = (First,)
    consumes: Sequence[type[Attribute]] = ()

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        request.attach(First())


class MakesSecondOfFirst:
    produces = (Second,)
    consumes = (First,)

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        if request.attribute(First) is not None:
            request.attach(Second())


class MakesFirstOfSecond(MakesFirst):
    consumes = (Second,)


class HelpfulScorer:
    """A scorer with a helper that happens to be called like a part of a profile handler."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        return [self.select(endpoint) for endpoint in candidates]

    def select(self, endpoint: Endpoint) -> float:
        return float(len(endpoint.name))


TEST_TYPES = {
    "makes-first": "MakesFirst",
    "makes-second-of-first": "MakesSecondOfFirst",
    "makes-first-of-second": "MakesFirstOfSecond",
    "needs-the-impossible": "NeedsTheImpossible",
    "fails-to-start": "FailsToStart",
    "fails-over-its-mode": "FailsOverItsMode",
    "keeps-for": "KeepsFor",
    "not-there": "NotThere",
    "helpful-scorer": "HelpfulScorer",
}


def build(text: str | None) -> Assembly:
    own = [EntryPoint(name, f"{__name__}:{value}", "epp.plugins") for name, value in TEST_TYPES.items()]
    assembly, _ = assembly_of(text, registry=Registry([*Registry.installed().types.values(), *own]))
    return assembly


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(text)
    return [str(problem) for problem in caught.value.problems]
