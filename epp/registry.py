"""Plugin classes by type name, from the entry-point group ``epp.plugins``; loaded when asked for, not before."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from epp.config import did_you_mean
from epp.plugin import ConfigurationError, Problem

GROUP = "epp.plugins"


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
