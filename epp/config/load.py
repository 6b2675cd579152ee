"""Text into an `EndpointPickerConfig`, and YAML into plain values, strictly."""

from dataclasses import dataclass
from typing import Any

import yaml

from epp.config.decode import decode
from epp.config.model import EndpointPickerConfig
from epp.plugin import ConfigurationError, Problem


@dataclass(frozen=True, slots=True)
class PlacedProblem(Problem):
    """Why a text is no YAML, and where that shows: there are no paths in it. Counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.message} (line {self.line}, column {self.column})"


def read_config(text: str) -> tuple[EndpointPickerConfig, list[Problem]]:
    """Return the configuration in ``text`` (YAML or JSON), and what is wrong with its shape.

    Text that is no YAML at all gives an empty configuration and the parser's complaint with line and column.
    """
    problems: list[Problem] = []
    try:
        raw = read_yaml(text)
    except ConfigurationError as error:
        return EndpointPickerConfig(), error.problems
    config = decode(EndpointPickerConfig, raw, "", problems)
    return config or EndpointPickerConfig(), problems


def read_yaml(text: str | bytes) -> Any:  # noqa: ANN401 - whatever is in the file
    """Return the value of a YAML or JSON document; raises `ConfigurationError` for whatever YAML cannot be read."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derives from SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(_problem(error, text)) from error
    except (ValueError, RecursionError, OverflowError) as error:
        # PyYAML lets errors of others through, such as of too deep nesting.
        raise ConfigurationError(f"not valid YAML: {error}") from error


class _StrictLoader(yaml.SafeLoader):
    """`SafeLoader`, but a key that stands twice in one mapping is an error instead of a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                problem = f"duplicate key `{key_node.value}`"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - PyYAML's signature
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # such as of the date 2024-99-99
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401 - PyYAML's signature
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.constructor.ConstructorError(None, None, "half a character", node.start_mark)
        return super().construct_scalar(node)


def _problem(error: yaml.YAMLError, text: str | bytes) -> Problem:
    """Return what is wrong, and where the parser says that."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            return PlacedProblem("", f"not valid YAML: {error.problem}", mark.line + 1, mark.column + 1)
        case yaml.reader.ReaderError(position=position, reason=reason) if isinstance(text, str):
            before = text[:position]
            return PlacedProblem("", f"not valid YAML: {reason}", before.count("\n") + 1, position - before.rfind("\n"))
    return Problem("", f"not valid YAML: {' '.join(str(error).split())}")
