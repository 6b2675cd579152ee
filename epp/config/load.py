"""Text into an `EndpointPickerConfig`, and YAML into plain values, strictly."""

from typing import Any

import yaml

from epp.config.decode import decode
from epp.config.model import EndpointPickerConfig
from epp.plugin import ConfigurationError, Problem


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
        raise ConfigurationError([f"not valid YAML: {_one_line(error)}"]) from error
    except (ValueError, RecursionError, OverflowError) as error:
        # PyYAML lets errors of its constructors through: a date such as 2024-99-99, or too deep nesting.
        raise ConfigurationError([f"not valid YAML: {error}"]) from error


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

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401 - PyYAML's signature
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.constructor.ConstructorError(None, None, "half a character", node.start_mark)
        return super().construct_scalar(node)


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())
