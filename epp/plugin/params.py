"""Plugin parameters: a checked struct instead of a dictionary."""

import re

import msgspec

from epp.plugin.errors import ConfigurationError, Problem

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class PluginParams(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Base of a plugin's parameters; fields are camelCase in YAML, and one that is not declared is an error.

    Constrain fields with ``Annotated[int, msgspec.Meta(ge=1)]``: the message then says what is allowed.
    """


def parse_duration(text: str) -> float:
    """Return seconds of a duration in h, m, s and ms, such as ``500ms`` or ``1m30s``; raises `ValueError` otherwise."""
    if text == "0":
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"`{text}` is no duration; write it like 30s, 500ms or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def read_duration(text: str, path: str, *, at_least_s: float = 0.0) -> float:
    """Return seconds of a parameter that is a duration.

    Raises `ConfigurationError` at its ``path`` among the plugin's parameters, such as ``timeout`` or
    ``service.timeout``, for one that is none or too short.
    """
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigurationError([Problem(path, str(error))]) from error
    if seconds < at_least_s:
        raise ConfigurationError([Problem(path, f"must be {at_least_s * 1000:g}ms or more")])
    return seconds
