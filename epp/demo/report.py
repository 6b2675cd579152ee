"""What the demo prints: a line for each decision as it is made, and a summary at the end."""

import json
import statistics

from epp.demo.stack import MODEL, Stack
from epp.demo.traffic import Outcomes

_READINESS = ("endpoint_ready", "endpoint_unready")


def instructions(stack: Stack) -> str:
    """Return what to try."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]})
    return f"""
  Envoy    {stack.url}   (asks the picker on port {stack.picker_ports.ext_proc} about every request)
  picker   http://127.0.0.1:{stack.picker_ports.metrics}/metrics
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
