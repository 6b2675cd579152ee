"""``passthrough-parser``: reads nothing of what no other parser claims."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import NOT_PARSED, ParsedBody


class PassthroughParser:
    """Leaves requests unread: they are routed by load. That is what happens without it too; it makes a file say so."""

    paths: ClassVar[Sequence[str]] = ()

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return nothing, whatever the body is."""
        return NOT_PARSED
