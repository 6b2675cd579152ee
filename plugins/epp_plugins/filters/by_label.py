"""``by-label``: keeps endpoints by one label. Deprecated in the Go pickers for ``label-selector-filter``."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams


class Params(PluginParams):
    """Names of the Go pickers."""

    label: Annotated[str, Meta(min_length=1)]
    valid_values: list[str] = msgspec.field(default_factory=list)
    allows_no_label: bool = False
    """Keep endpoints without the label."""


class ByLabel:
    """Keeps the endpoints whose label has one of some values."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those with a valid value."""
        params = self._params
        kept = []
        for endpoint in candidates:
            value = endpoint.labels.get(params.label)
            if params.allows_no_label if value is None else value in params.valid_values:
                kept.append(endpoint)
        return kept
