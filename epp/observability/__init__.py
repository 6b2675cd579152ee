"""What operators see: metrics, logs, and the guard around every plugin call.

`metrics` holds every metric that the picker exports, as one object built by `epp.app`; `logs` makes the JSON logger;
`instrument` wraps a plugin once, when it is assembled, so that its failures are contained, counted and named.
"""

from epp.observability.instrument import Guard
from epp.observability.logs import make_logger
from epp.observability.metrics import Metrics

__all__ = ["Guard", "Metrics", "make_logger"]
