"""Plugin classes by type name, from the entry-point group ``epp.plugins``; loaded when asked for, not before."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from epp.config import did_you_mean
from epp.plugin import ConfigurationError, Problem

GROUP = "epp.plugins"
NOT_NEEDED = "is not needed here; leave it out"
LEFT_OUT: Mapping[str, str] = {
    "endpoint-notification-source": NOT_NEEDED,
    "k8s-notification-source": NOT_NEEDED,
    "models-data-source": "would fetch what no plugin here reads",
    "models-data-extractor": "would read what no plugin here uses",
    "dcgm-data-source": "would need a second data source, and there is one",
    "dcgm-extractor": "would need a second data source, and there is one",
    "topology-extractor": "is not needed here; topology plugins read labels",
    "mm-embeddings-cache-producer": "would need the sizes of media, which parsers do not read",
    "mm-embeddings-cache-scorer": "would need the sizes of media, which parsers do not read",
    "burst-prefix-cache-producer": "would make every request wait; hot prefixes are spread without that",
    "p2p-source-producer": "is experimental in the Go pickers",
    "session-id-producer": "is not needed here; session-affinity plugins read headers themselves",
    "vertexai-parser": "would need an API that is not public",
    "disaggregatedset-rollout-screener": "is experimental in the Go pickers",
    "agent-identity": "is experimental in the Go pickers",
    "request-attribute-reporter": "would need CEL; token counts are metrics",
    **dict.fromkeys(
        (
            "multicluster-queue-scorer",
            "multicluster-kv-cache-utilization-scorer",
            "multicluster-prefix-cache-scorer",
            "multicluster-session-affinity-filter",
            "multicluster-approx-prefix-cache-producer",
            "multicluster-metrics-data-source",
            "multicluster-metrics-extractor",
            "multicluster-file-discovery",
        ),
        "is about pools of pools, which are not supported",
    ),
}
"""Types of the Go pickers that this one does not have, and why."""


class Registry:
    """Looks plugin types up. Built-in and third-party ones are the same to it."""

    def __init__(self, types: Iterable[EntryPoint]) -> None:
        self._types: Mapping[str, EntryPoint] = {entry.name: entry for entry in types}

    @classmethod
    def installed(cls) -> "Registry":
        """Return the types of every distribution in this environment."""
        return cls(entry_points(group=GROUP))

    @property
    def types(self) -> Mapping[str, EntryPoint]:
        """Type name -> where its class is; nothing is imported."""
        return self._types

    def load(self, type_name: str) -> type:
        """Return the class of a plugin type, importing its module; raises `ConfigurationError` when it cannot."""
        if type_name in LEFT_OUT and type_name not in self._types:
            message = f"plugin type `{type_name}` of the Go pickers {LEFT_OUT[type_name]}"
            raise ConfigurationError([Problem("type", message)])
        if type_name not in self._types:
            hint = did_you_mean(type_name, self._types)
            raise ConfigurationError([Problem("type", f"plugin type `{type_name}` is not installed{hint}")])
        entry = self._types[type_name]
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            problem = Problem("type", f"plugin type `{type_name}` ({entry.value}) cannot be loaded: {error}")
            raise ConfigurationError([problem]) from error
        if not isinstance(loaded, type):
            raise ConfigurationError([Problem("type", f"plugin type `{type_name}` ({entry.value}) is not a class")])
        return loaded
