"""Plugin parameters: a checked struct instead of a dictionary."""

import msgspec


class PluginParams(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Base of a plugin's parameters; fields are camelCase in YAML, and one that is not declared is an error.

    Constrain fields with ``Annotated[int, msgspec.Meta(ge=1)]``: the message then says what is allowed.
    """
