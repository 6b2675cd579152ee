"""What operators see: metrics, logs, and the guard around every plugin call.

`metrics` holds every metric that the picker exports, as one object built by `epp.app`; `logs` makes the JSON logger;
`guard` stands around every plugin call, so that its failures are contained, counted and named; `scheduling_guards` and
`lifecycle_guards` wrap a plugin in it once, when it is assembled.
"""

from epp.observability.guard import Guard
from epp.observability.logs import make_logger
from epp.observability.metrics import Metrics

__all__ = ["Guard", "Metrics", "make_logger"]
