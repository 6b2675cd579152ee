"""What plugins get from the process that they run in."""

from epp.assembled import Surroundings
from epp.observability import Metrics
from epp.plugin.testing import make_context


def test_rehearsal_has_the_clock_of_what_it_is_for() -> None:
    context = make_context(clock=lambda: 7.0)
    metrics = Metrics(context.metrics.registry)
    around = Surroundings(metrics=metrics, log=context.log, random=context.random, clock=context.clock)
    assert around.rehearsal().clock() == 7.0


def test_what_plugins_do_in_a_rehearsal_is_not_seen() -> None:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    around = Surroundings(metrics=metrics, log=context.log, random=context.random)
    around.plugin_metrics("a").counter("mine_total", "A number.")
    rehearsal = around.rehearsal()
    rehearsal.plugin_metrics("a").counter("mine_total", "A number.").inc()
    rehearsal.metrics.session_failed()
    assert metrics.registry.get_sample_value("mine_total", {"plugin": "a"}) == 0.0
    assert metrics.registry.get_sample_value("epp_session_errors_total") == 0.0
