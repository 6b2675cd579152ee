"""``tenant-filter``: tenants have endpoints of their own, named by a request header and a label.

In the configuration::

    plugins:
      - type: tenant-filter
        parameters:
          header: x-tenant
          label: example.com/tenant
    schedulingProfiles:
      - name: default
        plugins:
          - pluginRef: tenant-filter
"""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginParams


class Params(PluginParams):
    """Where a tenant's name stands."""

    header: str = "x-tenant"
    """Request header that names the tenant, in any case."""
    label: str = "example.com/tenant"
    """Label of the endpoints that are this tenant's."""


class TenantFilter:
    """Keeps a tenant's own endpoints; all of them for a request without a tenant, or for a tenant that has none."""

    def __init__(self, params: Params) -> None:
        self._header = params.header.lower()
        self._label = params.label

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates that stay; none at all would refuse the request with 429."""
        tenant = request.head.get(self._header)
        if not tenant:
            return candidates
        return [endpoint for endpoint in candidates if endpoint.labels.get(self._label) == tenant] or candidates
