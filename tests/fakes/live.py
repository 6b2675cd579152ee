"""A live configuration, put together without I/O."""

from typing import Any

import yaml
from prometheus_client import generate_latest

from epp.assembled import Surroundings
from epp.live import LiveConfig
from epp.observability import Metrics
from epp.plugin.testing import make_context
from epp.settings import Settings


def text_of(*plugins: dict[str, Any], weights: dict[str, float]) -> str:
    """Return a configuration with one profile."""
    entries = [{"pluginRef": name, "weight": weight} for name, weight in weights.items()]
    return yaml.safe_dump(
        {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": list(plugins),
            "schedulingProfiles": [{"name": "default", "plugins": entries}],
        }
    )


QUEUE, PREFIX = {"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}
FIRST = text_of(QUEUE, PREFIX, weights={"queue-scorer": 2, "prefix-cache-scorer": 3})


def live() -> tuple[LiveConfig, Metrics]:
    """Return one that begins with `FIRST`, and what it counts."""
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    surroundings = Surroundings(metrics=metrics, log=context.log, random=context.random, clock=context.clock)
    return LiveConfig(Settings(config_text=FIRST, endpoint=("10.0.0.1:8000",)), surroundings, context.log), metrics


def page(metrics: Metrics) -> list[str]:
    """Return the samples of everything that is exported."""
    return sorted(line for line in generate_latest(metrics.registry).decode().splitlines() if line[0] != "#")
