"""Parts of a picker, put together without I/O."""

from collections.abc import Callable, Sequence

from epp.assembly import Assembly, assemble
from epp.config import DEFAULT_CONFIG, read_config
from epp.director import Director
from epp.director.parsing import ParserTable
from epp.observability import Guard, Metrics
from epp.plugin import Endpoint, PluginContext
from epp.plugin.testing import make_context
from epp.registry import Registry


def assembly_of(text: str | None = None, *, registry: Registry | None = None) -> tuple[Assembly, Metrics]:
    """Assemble a configuration, the default one when there is no text, with seeded randomness and a silent log."""
    shared = make_context()
    metrics = Metrics(shared.metrics)

    def context(name: str) -> PluginContext:
        return PluginContext(
            name=name, clock=shared.clock, random=shared.random, log=shared.log, metrics=shared.metrics
        )

    def guard(name: str) -> Guard:
        return Guard(name, metrics=metrics, log=shared.log)

    config, problems = (DEFAULT_CONFIG, []) if text is None else read_config(text)
    installed = registry or Registry.installed()
    assembly = assemble(config, registry=installed, context=context, guard=guard, problems=problems)
    return assembly, metrics


def director_of(pool: Sequence[Endpoint] | Callable[[], Sequence[Endpoint]], text: str | None = None) -> Director:
    """Return a director over a fixed pool."""
    assembly, metrics = assembly_of(text)
    return Director(
        pool=pool if callable(pool) else lambda: pool,
        parsers=ParserTable(assembly.parsers),
        producers=assembly.producers,
        scheduler=assembly.scheduler,
        observers=assembly.observers,
        metrics=metrics,
        clock=lambda: 0.0,
        log=make_context().log,
    )


def value_of(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample of the exported metrics, ``None`` when there is none."""
    return metrics.registry.get_sample_value(name, labels)
