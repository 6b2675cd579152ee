"""What the demo prints: a line for each decision as it is made, and a summary at the end."""

import json
import re
import statistics

import aiohttp

from epp.demo.stack import MODEL, Stack
from epp.demo.traffic import Outcomes

_SAMPLE = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\{[^}]*\} (\S+)$", re.MULTILINE)
_READINESS = ("endpoint_ready", "endpoint_unready")


def instructions(stack: Stack) -> str:
    """Return what to try."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]})
    return f"""
  Envoy    {stack.url}   (asks the picker on port {stack.ext_proc_port} about every request)
  picker   http://127.0.0.1:{stack.metrics_port}/metrics
  servers  {"  ".join(stack.model_servers)}

Try it (the answer's `x-inference-pod` says who served):

  curl -i {stack.url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'
"""


def decision_line(line: str) -> str | None:
    """Return a line of the picker's log for people; ``None`` for one that is no news."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return line
    match event:
        case {"event": "request_routed", "path": path, "endpoint": endpoint, "decision_ms": took, **rest}:
            ratio = rest.get("prefix_match_ratio")
            cached = "" if ratio is None else f"  prefix {ratio:>4.0%}"
            return f"{path:<22} -> {endpoint:<24} {took:>6.2f} ms{cached}"
        case {"event": "request_rejected", "path": path, "status": status, "message": message}:
            return f"{path:<22} -> {status}: {message}"
        case {"event": str(name), "endpoint": endpoint, "reason": reason} if name in _READINESS:
            return f"{name.replace('_', ' ')}: {endpoint} ({reason})"
        case {"level": "error"}:
            return " ".join(f"{key}={value}" for key, value in event.items() if key not in {"level", "timestamp"})
    return None


async def cache_hit_ratio(stack: Stack) -> float:
    """Return the share of prompt tokens that the model servers found in their caches, by their own counters."""
    totals = {"queries": 0.0, "hits": 0.0}
    async with aiohttp.ClientSession() as http:
        for server in stack.model_servers:
            async with http.get(f"http://{server}/metrics") as response:
                for name, value in _SAMPLE.findall(await response.text()):
                    totals[name] += float(value)
    return totals["hits"] / totals["queries"] if totals["queries"] else 0.0


def summary(outcomes: Outcomes, hit_ratio: float) -> str:
    """Return what happened, for the end of a demo with traffic."""
    served = ", ".join(f"{pod} {count}" for pod, count in sorted(outcomes.served_by.items()))
    ttft_ms = sorted(one * 1000 for one in outcomes.ttft_s) or [0.0]
    p95 = ttft_ms[int(len(ttft_ms) * 0.95) - 1 if len(ttft_ms) > 1 else 0]
    lines = [
        "",
        f"{len(outcomes.ttft_s)} requests, {len(outcomes.errors)} errors",
        f"served by: {served}",
        f"time to first byte: median {statistics.median(ttft_ms):.0f} ms, p95 {p95:.0f} ms",
        f"prompt tokens found in the servers' prefix caches: {hit_ratio:.0%}",
        *outcomes.errors[:5],
    ]
    return "\n".join(lines)
