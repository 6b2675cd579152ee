"""``priority-holdback-policy``: lower priorities may fill the pool less."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from epp.plugin import FlowControlPolicy, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    min_ceiling: Annotated[float, Meta(ge=0, lt=1)]
    max_ceiling: Annotated[float, Meta(gt=0)] = 1.0
    domain: Literal["rank", "value"] = "rank"
    shape: Literal["linear"] = "linear"


class PriorityHoldbackPolicy:
    """Lower priorities may fill the pool less."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.USAGE_LIMIT

    def __init__(self, params: Params) -> None:
        self.params = params
