"""GuideLLM through Envoy, picker and simulated model servers: ``make guidellm``.

Runs the same shared-prefix workload twice, with the default profile and with `random-picker`, and prints for both what
GuideLLM saw and what share of prompt tokens the servers found in their prefix caches, by their own counters. Each
server can keep about a third of the prompts, so it matters who gets what.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from venvs import TORCH, make_once, make_venv

from epp.demo import StackOptions, running_stack
from epp.demo.counters import prefix_counters
from epp.demo.stack import MODEL

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
VENV = ROOT / ".venv-guidellm"
REQUESTS = 300
STREAMS = 8
DATA = "kind=synthetic_text,prompt_tokens=64,output_tokens=16,prefix_count=24,prefix_tokens=2048"
SIMULATOR = ("--block-count", "400", "--prefill-tokens-per-second", "4000", "--decode-tokens-per-second", "200")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, in the words of its table."""

    profile: str
    successful: int
    errored: int
    ttft_median_ms: float
    ttft_p95_ms: float
    output_tokens_per_s: float
    hit_ratio: float

    def row(self) -> str:
        """Return the Markdown row."""
        return (
            f"| {self.profile} | {self.successful} | {self.errored} | {self.ttft_median_ms:.0f} ms "
            f"| {self.ttft_p95_ms:.0f} ms | {self.output_tokens_per_s:.0f} | {self.hit_ratio:.1%} |"
        )


async def benchmark(guidellm: Path, tokenizer: Path, profile: str) -> Outcome:
    """Run GuideLLM once against a fresh stack with a profile of ``config/``."""
    options = StackOptions(
        simulator_flags=SIMULATOR,
        picker_flags=("--config-file", str(ROOT / "config" / f"{profile}.yaml"), "--v", "1"),
    )
    report = RESULTS / f"guidellm-{profile}.json"
    async with running_stack(options) as stack:
        command = [
            *(str(guidellm), "run"),
            *("--backend", f"kind=openai_http,target={stack.url},model={MODEL}"),
            *("--tokenizer", f"kind=hf_auto,model={tokenizer}"),
            *("--data", DATA),
            *("--profile", f"kind=concurrent,streams={STREAMS}"),
            *("--constraint", f"kind=max_requests,count={REQUESTS}"),
            *("--seed", "kind=static,value=42"),
            *("--output", f"kind=json,path={report}"),
            "--disable-progress",
        ]
        print("+", " ".join(command), flush=True)
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "GUIDELLM__MAX_WORKER_PROCESSES": "1"}  # noqa: TID251 - for a child
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            sys.exit(output.decode())
        hit_ratio = (await prefix_counters(stack.model_servers)).hit_ratio
    return _outcome(profile, json.loads(report.read_text())["benchmarks"][0]["metrics"], hit_ratio)


def _outcome(profile: str, metrics: dict[str, Any], hit_ratio: float) -> Outcome:
    ttft = metrics["time_to_first_token_ms"]["successful"]
    return Outcome(
        profile=profile,
        successful=metrics["request_totals"]["successful"],
        errored=metrics["request_totals"]["errored"] + metrics["request_totals"]["incomplete"],
        ttft_median_ms=ttft["median"],
        ttft_p95_ms=ttft["percentiles"]["p95"],
        output_tokens_per_s=metrics["output_tokens_per_second"]["successful"]["mean"],
        hit_ratio=hit_ratio,
    )


def main() -> int:
    """Print the table; 1 when a request failed or the default profile does not clearly hit more."""
    python = make_venv(VENV, steps=[["install", TORCH], ["install", "guidellm==0.8.1"]])
    tokenizer = make_once(python, "make_tokenizer.py", VENV / "tokenizer", proof="tokenizer.json")
    RESULTS.mkdir(exist_ok=True)
    outcomes = [asyncio.run(benchmark(VENV / "bin" / "guidellm", tokenizer, name)) for name in ("default", "random")]
    print("\n| profile | requests | errors | TTFT median | TTFT p95 | output tokens/s | prefix cache hits |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(outcome.row() for outcome in outcomes))
    smart, blind = outcomes
    failed = smart.errored + blind.errored
    return 1 if failed or smart.hit_ratio < blind.hit_ratio * 1.2 else 0


if __name__ == "__main__":
    sys.exit(main())
