"""``soft-reflective-ceiling-policy``: lower priorities may fill the pool less the fuller it is."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class SoftReflectiveCeilingPolicy:
    """Lower priorities may fill the pool less the fuller it is."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.USAGE_LIMIT
