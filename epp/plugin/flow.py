"""Flow control: requests that wait while the pool is saturated, and who of them goes first."""

import enum
from collections.abc import Sequence
from typing import Protocol

from epp.plugin.endpoint import Endpoint


class SaturationDetector(Protocol):
    """Says how full the pool is."""

    def saturation(self, candidates: Sequence[Endpoint]) -> float:
        """Return 0.0 for an idle pool, 1.0 and more for a full one."""
        ...


class FlowControlPolicy(enum.Enum):
    """What a policy decides; a policy plugin says it in a class attribute ``flow_control_policy``."""

    FAIRNESS = "fairness policy"
    """Whose flow is next."""
    ORDERING = "ordering policy"
    """Which request of a flow is next."""
    USAGE_LIMIT = "usage limit policy"
    """How full each priority may make the pool."""
