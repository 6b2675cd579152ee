"""What the demo prints: a line for each decision as it is made, and a summary at the end."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence

from epp.demo.stack import MODEL, Stack
from epp.demo.traffic import Outcome

PROMPT = "Explain to a platform engineer, in two sentences, what an endpoint picker does."
"""Longer than a prefix block, so that asking it twice shows a match."""
_READINESS = ("endpoint_ready", "endpoint_unready")


def instructions(stack: Stack) -> str:
    """Return what to try."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]})
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


def summary(outcomes: Sequence[Outcome], hit_ratio: float) -> str:
    """Return what happened, for the end of a demo with traffic."""
    good = [outcome for outcome in outcomes if outcome.error is None]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    served = Counter(outcome.served_by for outcome in good)
    lines = ["", f"{len(outcomes)} requests, {len(errors)} errors"]
    if good:
        first_byte_ms = sorted(outcome.first_byte_s * 1000 for outcome in good)
        median, p95 = statistics.median(first_byte_ms), first_byte_ms[int(len(first_byte_ms) * 0.95)]
        lines += [
            f"served by: {', '.join(f'{pod} {count}' for pod, count in sorted(served.items()))}",
            f"time to first byte: median {median:.0f} ms, p95 {p95:.0f} ms",
            f"prompt tokens found in the servers' prefix caches: {hit_ratio:.0%}",
        ]
    return "\n".join([*lines, *errors[:5]])
