"""Which load a scorer rates: as it is now, or as the last metrics page said."""

from collections.abc import Sequence

from epp.plugin import Endpoint, Load, PluginParams


class LoadParams(PluginParams):
    """The parameters of scorers that rate load."""

    raw: bool = False
    """Rate the last metrics page as it was, as the Go pickers do."""

    def loads(self, candidates: Sequence[Endpoint]) -> list[Load]:
        """Return the load of each candidate."""
        return [endpoint.scraped if self.raw else endpoint.load for endpoint in candidates]
