"""``static-usage-limit-policy``: each priority may fill the pool up to the same level."""

from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import FlowControlPolicy, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    threshold: Annotated[float, Meta(gt=0)] = 1.0


class StaticUsageLimitPolicy:
    """Each priority may fill the pool up to the same level."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.USAGE_LIMIT

    def __init__(self, params: Params) -> None:
        self.params = params
