"""``make bench``: measures, prints tables, writes ``bench/results/load.json`` and ``load.html``."""

import asyncio
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from epp.demo.process import PartError
from load.bounds import Verdict, exit_code, judge
from load.cost import measure_costs
from load.errors import LoadError
from load.generators import require_generators
from load.latency import measure_latencies
from load.machine import this_machine
from load.page import page_of
from load.plan import IDLE, LATENCY, MEMORY, Plan, read_plan
from load.rest import measure_idle, measure_memory
from load.results import CaseCosts, Results
from load.table import text_of

RESULTS = Path(__file__).parents[1] / "results"
WORTHLESS = 2


def main(arguments: Sequence[str]) -> int:
    """Return 0, 1 when a bound was missed, 2 when there are no figures."""
    plan = read_plan(arguments)
    failures: list[str] = []
    try:
        require_generators()
        results = asyncio.run(measure(plan, command_of(arguments)))
    except* (LoadError, PartError) as failed:
        failures = reasons(failed)
    if failures:
        print("no figures:", *failures, sep="\n", file=sys.stderr)
        return WORTHLESS
    verdicts = judge(results)
    keep(results, verdicts)
    print(text_of(results, verdicts))
    return exit_code(verdicts)


async def measure(plan: Plan, command: str) -> Results:
    """Measure what was chosen, one thing after the other; raises `LoadError`, or a group with one."""
    machine = await this_machine(version("endpoint-picker"))
    costs: list[CaseCosts] = []
    for case in plan.cases:
        progress(case.name)
        costs.append(await measure_costs(case, plan))
    results = Results(machine=machine, command=command, costs=costs)
    if LATENCY in plan.names:
        progress(LATENCY)
        results = dataclasses.replace(results, latencies=await measure_latencies(plan))
    if IDLE in plan.names:
        progress(IDLE)
        results = dataclasses.replace(results, idle=await measure_idle(plan))
    if MEMORY in plan.names:
        progress(MEMORY)
        results = dataclasses.replace(results, memory=await measure_memory(plan))
    return results


def keep(results: Results, verdicts: Sequence[Verdict]) -> None:
    """Write what was measured, and the page."""
    RESULTS.mkdir(exist_ok=True)
    bounds = [dataclasses.asdict(verdict) | {"verdict": verdict.word} for verdict in verdicts]
    measured = dataclasses.asdict(results) | {"bounds": bounds}
    (RESULTS / "load.json").write_text(json.dumps(measured, indent=1) + "\n")
    (RESULTS / "load.html").write_text(page_of(results, verdicts))


def command_of(arguments: Sequence[str]) -> str:
    """Return what repeats this run."""
    chosen = f' BENCH="{shlex.join(arguments)}"' if arguments else ""
    return f"make bench{chosen}"


def progress(what: str) -> None:
    """Say what is measured now: the tables come at the end."""
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def reasons(failed: BaseExceptionGroup[Exception]) -> list[str]:
    """Return the message of every error in a group."""
    found: list[str] = []
    for error in failed.exceptions:
        found += reasons(error) if isinstance(error, BaseExceptionGroup) else [str(error)]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
