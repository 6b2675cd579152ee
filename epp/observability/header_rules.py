"""Which headers can be set on an answer: one that the gateway refuses would cost the client its answer."""

import re

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "host"})


def is_header_name(name: str) -> bool:
    """Tell whether it is the name of a header (RFC 9110), and none on which the message itself depends."""
    return _NAME.fullmatch(name) is not None and name.lower() not in _FRAMING


def is_header(name: str, value: str) -> bool:
    """Tell whether a header can be set: no control characters, no lone surrogates."""
    return is_header_name(name) and _VALUE.fullmatch(value) is not None
