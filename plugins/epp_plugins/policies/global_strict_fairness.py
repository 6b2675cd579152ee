"""``global-strict-fairness-policy``: the flow whose first request is best in the order goes first."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class GlobalStrictFairnessPolicy:
    """The flow whose first request is best in the order goes first."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.FAIRNESS
