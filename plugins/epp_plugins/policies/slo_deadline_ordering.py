"""``slo-deadline-ordering-policy``: the request whose first token is due first goes first."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class SloDeadlineOrderingPolicy:
    """The request whose first token is due first goes first."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.ORDERING
