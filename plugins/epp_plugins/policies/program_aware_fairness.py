"""``program-aware-fairness``: the flow that has got least goes first."""

from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import FlowControlPolicy, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    strategy: str = "las"
    eviction_ttl_seconds: Annotated[float, Meta(gt=0)] = 3600.0
    eviction_sweep_seconds: Annotated[float, Meta(gt=0)] = 300.0
    las_weight_service: Annotated[float, Meta(ge=0)] = 0.8
    las_weight_head_wait: Annotated[float, Meta(ge=0)] = 0.2
    las_half_life_seconds: Annotated[float, Meta(gt=0)] = 60.0


class ProgramAwareFairness:
    """The flow that has got least goes first."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.FAIRNESS

    def __init__(self, params: Params) -> None:
        self.params = params
