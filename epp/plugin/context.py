"""What the picker hands to a plugin's constructor."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from epp.plugin.metrics import PluginMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """Time, randomness, log and metrics. A plugin takes them from here and nowhere else, so that a replay repeats."""

    name: str
    """The plugin's name in the configuration."""
    clock: Callable[[], float]
    """Seconds, monotonic."""
    random: random.Random
    """Seeded in tests and replays."""
    log: FilteringBoundLogger
    """Bound to the plugin's name."""
    metrics: PluginMetrics
    """Where a plugin's own metrics go."""
