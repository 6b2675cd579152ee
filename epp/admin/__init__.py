"""What operators ask over HTTP: ``/metrics``, ``/healthz``, ``/readyz``, ``/debug/...``."""

from epp.admin.debug import Debug
from epp.admin.server import Admin

__all__ = ["Admin", "Debug"]
