"""Which parser reads a request: the one that claims the longest suffix of its path."""

from collections.abc import Mapping, Sequence

from epp.observability.instrument import GuardedParser
from epp.plugin import ParsedBody


class ParserTable:
    """The configured parsers by path suffix."""

    def __init__(self, parsers: Sequence[GuardedParser]) -> None:
        by_suffix: dict[str, GuardedParser] = {}
        for parser in parsers:
            for suffix in parser.paths:
                by_suffix.setdefault("/" + suffix.strip("/"), parser)
        self._by_suffix: Mapping[str, GuardedParser] = dict(sorted(by_suffix.items(), key=lambda item: -len(item[0])))

    def parse(self, path: str, body: bytes) -> ParsedBody | None:
        """Return what the body says, or ``None`` when no parser claims the path; raises the parser's `Rejection`.

        The query string and a trailing slash do not count.
        """
        path = path.partition("?")[0].rstrip("/")
        for suffix, parser in self._by_suffix.items():
            if path.endswith(suffix):
                return parser.parse(path, body)
        return None
