"""``round-robin-fairness-policy``: flows take turns."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class RoundRobinFairnessPolicy:
    """Flows take turns."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.FAIRNESS
