"""The ``EndpointPickerConfig`` file as data: read, checked, completed. Knows names and shapes, never a plugin class.

`model` has the structs, one for each section of the file. `load` reads YAML or JSON text into them strictly: an
unknown key, a duplicate key or a value of the wrong type is a problem with the path where it stands. `check` finds what
shape alone cannot: references to nothing, duplicate names. `notes` says what is valid
and does not do what it looks like. `defaults` is the configuration used when none is given.

Nothing here raises at the first problem: problems are collected, `epp.assembly` adds what only the plugins themselves
can know, and all of them are reported at once.
"""

from epp.config.check import check
from epp.config.decode import decode, did_you_mean
from epp.config.defaults import DEFAULT_CONFIG
from epp.config.load import PlacedProblem, read_config, read_yaml
from epp.config.model import EndpointPickerConfig, PluginSpec, ProfilePluginSpec, ProfileSpec
from epp.config.notes import notes_on

__all__ = [
    "DEFAULT_CONFIG",
    "EndpointPickerConfig",
    "PlacedProblem",
    "PluginSpec",
    "ProfilePluginSpec",
    "ProfileSpec",
    "check",
    "decode",
    "did_you_mean",
    "notes_on",
    "read_config",
    "read_yaml",
]
