"""What operators ask over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

from epp.admin.server import AdminServer

__all__ = ["AdminServer"]
