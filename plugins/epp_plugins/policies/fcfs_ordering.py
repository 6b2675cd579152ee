"""``fcfs-ordering-policy``: first come, first served."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class FcfsOrderingPolicy:
    """First come, first served."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.ORDERING
