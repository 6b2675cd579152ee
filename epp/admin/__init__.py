"""What operators ask over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

from epp.admin.server import Admin

__all__ = ["Admin"]
