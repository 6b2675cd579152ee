"""``edf-ordering-policy``: the request that has to go first goes first."""

from typing import ClassVar

from epp.plugin import FlowControlPolicy


class EdfOrderingPolicy:
    """The request that has to go first goes first."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.ORDERING
