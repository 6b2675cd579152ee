"""What pickers have in common: how many endpoints they choose."""

from collections.abc import Sequence

from epp.plugin import Endpoint, PluginParams


class PickerParams(PluginParams):
    """The parameters of pickers."""

    max_num_of_endpoints: int = 1
    """How many are chosen, the primary first: gateways try the others when it fails. 0 and less: one."""

    @property
    def count(self) -> int:
        """How many are chosen."""
        return max(1, self.max_num_of_endpoints)


def highest(candidates: Sequence[Endpoint], keys: Sequence[float], count: int) -> list[Endpoint]:
    """Return the candidates with the highest keys, the highest first; of equal ones the earlier first."""
    order = sorted(range(len(candidates)), key=lambda i: -keys[i])
    return [candidates[i] for i in order[:count]]
