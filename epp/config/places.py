"""Where in a file something stands, for messages about it."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both counted from 1."""

    line: int
    column: int


def command_for(file: str | Path) -> str:
    """Return the command that tells where in a file its problems are."""
    return f"epp check-config {shlex.quote(str(file))}"


class Places:
    """Finds the place of a path such as ``plugins[2].parameters.path`` in a YAML or JSON text."""

    def __init__(self, text: str) -> None:
        self._places: dict[str, Place] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            return  # what is wrong with it says itself where
        if root is not None:
            self._note(root, "")

    def of(self, path: str) -> Place | None:
        """Return where a path stands, or the nearest thing around it that does; ``None`` for a text without any."""
        while path and path not in self._places:
            path = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]+)$", "", path)
        return self._places.get(path)

    def _note(self, node: yaml.Node, path: str) -> None:
        self._places.setdefault(path, _place(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    below = f"{path}.{key.value}" if path else key.value
                    self._places[below] = _place(key)
                    self._note(value, below)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._note(value, f"{path}[{i}]")


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
