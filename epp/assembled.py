"""What a configuration becomes: `epp.assembly` makes it."""

import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from epp.config import EndpointPickerConfig
from epp.director.shedding import Shedder
from epp.observability import Metrics, make_logger
from epp.observability.lifecycle_guards import (
    GuardedAdmitter,
    GuardedDiscovery,
    GuardedObserver,
    GuardedParser,
    GuardedProducer,
    GuardedWorker,
)
from epp.observability.source_guards import GuardedDataSource, GuardedExtractor
from epp.plugin import PluginMetrics, Problem
from epp.plugin.endpoint import Settling
from epp.plugin.metrics import Family, copies, restoring
from epp.scheduling import Profile, Scheduler
from epp.workshop import Built


@dataclass(frozen=True, slots=True)
class ShadowProfile:
    """A profile that decides nothing, and how often it is asked."""

    profile: Profile
    sample_ratio: float


@dataclass(frozen=True, slots=True)
class Assembly:
    """The live parts of one configuration, each plugin behind its guard."""

    profiles: Sequence[Profile]
    """Those that decide."""
    shadow: ShadowProfile | None
    scheduler: Scheduler
    parsers: Sequence[GuardedParser]
    producers: Sequence[GuardedProducer]
    admitters: Sequence[GuardedAdmitter | Shedder]
    workers: Sequence[GuardedWorker]
    observers: GuardedObserver
    discovery: GuardedDiscovery | None
    source: GuardedDataSource
    extractor: GuardedExtractor
    built: Mapping[str, Built]
    """Every plugin by name."""
    fixed: Sequence[str]
    """Those that find endpoints and fetch and read their load: they cannot be replaced while the process runs."""
    config: EndpointPickerConfig
    notes: Sequence[Problem]
    """What is valid in the configuration, and does not do what it looks like."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What plugins get from the process that they run in."""

    metrics: Metrics
    log: FilteringBoundLogger
    random: random.Random
    clock: Callable[[], float] = time.monotonic
    settling: Settling = field(default_factory=Settling)
    """Of the endpoints of the process."""
    families: dict[str, Family[Any]] = field(default_factory=dict)
    """The plugins' metrics, by name."""

    def plugin_metrics(self, name: str) -> PluginMetrics:
        """Return what a plugin of this name exports by."""
        return PluginMetrics(self.metrics.registry, name, self.families)

    def rehearsal(self) -> "Surroundings":
        """Return surroundings in which nothing that plugins do is seen, and in which the same metrics are taken."""
        registry = CollectorRegistry()
        log = make_logger(0, stream=sys.stderr)
        rng = random.Random(0)  # noqa: S311 - no picks
        return replace(self, metrics=Metrics(registry), log=log, random=rng, families=copies(self.families, registry))

    def restoring_metrics(self) -> Callable[[], None]:
        """Return what makes the plugins export again what they export now."""
        return restoring(self.families, self.metrics.registry)
