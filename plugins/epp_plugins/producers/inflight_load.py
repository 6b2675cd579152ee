"""``inflight-load-producer``: estimates the output of requests, so that it counts as load."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Endpoint, InferenceRequest, OutputEstimate, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    add_estimated_output_tokens: bool = False
    """Count the expected output, and keep counting the prompt, until a request ends."""
    output_ratio: Annotated[float, Meta(ge=0)] = 1.5
    """Tokens of output expected for each token of the prompt."""
    max_estimated_output_tokens: Annotated[int, Meta(ge=0)] | None = None
    """Never expect more than this."""
    prefix_match_info_producer_name: str | None = None
    """Accepted for files of the Go pickers; each attribute has one producer here."""
    sync_cross_replica_state: bool = True
    """Accepted for files of the Go pickers; traffic of other pickers is seen on the metrics pages."""


class InflightLoadProducer:
    """Attaches `OutputEstimate`: the prompt's tokens times a ratio, not more than the client wants back.

    Requests in flight and their uncached tokens are counted without it.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (OutputEstimate,)

    def __init__(self, params: Params) -> None:
        self._params = params

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Attach the estimate, where it is asked for."""
        params = self._params
        if not params.add_estimated_output_tokens:
            return
        bounds = (request.max_output_tokens, params.max_estimated_output_tokens)
        expected = round(request.prompt_tokens * params.output_ratio)
        request.attach(OutputEstimate(tokens=min([expected, *(bound for bound in bounds if bound is not None)])))
