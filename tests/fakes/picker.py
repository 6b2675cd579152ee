"""Parts of an endpoint picker, put together without I/O."""

import random
from collections.abc import Callable, Sequence

from epp.assembled import Assembly, Surroundings
from epp.assembly import assemble_text
from epp.director import Director, Reporting
from epp.director.parsing import ParserTable
from epp.director.policies import Policies
from epp.observability import Metrics
from epp.observability.lifecycle_guards import GuardedProducer
from epp.plugin import Endpoint
from epp.plugin.testing import make_context
from epp.registry import Registry


class NotCounted:
    """A request that nobody counts."""

    def started(self, status: int | None) -> None:
        """Forget it."""

    def ended(self) -> None:
        """Forget it."""

    def went_elsewhere(self) -> None:
        """Forget it."""


def not_counted(endpoint: Endpoint, uncached_tokens: int, *, output_tokens: int) -> NotCounted:
    """Count nothing."""
    return NotCounted()


class PoolOf:
    """A pool whose endpoints' metrics pages are all alike."""

    def __init__(self, *endpoints: Endpoint, age_s: float | None = None, missing: Sequence[str] = ()) -> None:
        self._endpoints = endpoints
        self._age_s = age_s
        self._missing = missing

    def endpoints(self) -> Sequence[Endpoint]:
        """Return them."""
        return self._endpoints

    def scrape_age_s(self, endpoint: Endpoint) -> float | None:
        """Return the age of every page."""
        return self._age_s

    def missing_metrics(self, endpoint: Endpoint) -> Sequence[str]:
        """Return what is missing on every page."""
        return self._missing


def assembly_of(text: str | None = None, *, registry: Registry | None = None) -> tuple[Assembly, Metrics]:
    """Assemble a configuration, the default one when there is no text, with seeded randomness and a silent log."""
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    surroundings = Surroundings(metrics=metrics, log=context.log, random=context.random, clock=context.clock)
    return assemble_text(text, surroundings, registry=registry), metrics


def director_and_metrics(
    pool: Sequence[Endpoint] | Callable[[], Sequence[Endpoint]],
    *,
    producers: Sequence[GuardedProducer] | None = None,
    text: str | None = None,
    policies: Policies | None = None,
) -> tuple[Director, Metrics]:
    """Return a director over a pool, and what it counts; ``producers`` stand in for those of the configuration."""
    assembly, metrics = assembly_of(text)
    director = Director(
        pool=pool if callable(pool) else lambda: pool,
        parsers=ParserTable(assembly.parsers),
        producers=assembly.producers if producers is None else producers,
        admitters=assembly.admitters,
        policies=policies,
        scheduler=assembly.scheduler,
        reporting=Reporting(
            observers=assembly.observers,
            metrics=metrics,
            clock=lambda: 0.0,
            take=not_counted,
        ),
        rng=random.Random(0),
        log=make_context().log,
    )
    return director, metrics


def director_of(
    pool: Sequence[Endpoint] | Callable[[], Sequence[Endpoint]],
    *,
    producers: Sequence[GuardedProducer] | None = None,
    text: str | None = None,
) -> Director:
    """Return a director over a pool."""
    return director_and_metrics(pool, producers=producers, text=text)[0]


def value_of(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample of the exported metrics, ``None`` when there is none."""
    return metrics.registry.get_sample_value(name, labels)
