"""Plugins behind their guards."""

from collections.abc import Callable

from epp.observability import Guard, Metrics
from epp.plugin import DropReason, Rejection
from epp.plugin.testing import make_context
from tests.fakes.picker import value_of


class Anything:
    """A plugin for every extension point that does what it is told."""

    paths = ("completions",)
    is_bounded = False

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does

    def _do(self, *_: object) -> object:
        return self._does()

    filter = score = pick = select = decide = parse = produce = _do
    on_routed = on_response_head = on_done = on_endpoint_removed = _do


def raises() -> object:
    raise KeyError("a bug")


def refuses() -> object:
    raise Rejection(DropReason.SATURATED, "not now")


def guard() -> tuple[Guard, Metrics]:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    return Guard("mine", metrics=metrics, log=context.log), metrics


def failures(metrics: Metrics, point: str) -> float | None:
    return value_of(metrics, "epp_plugin_errors_total", plugin="mine", point=point)
