"""What an endpoint does for a request: encodes its media, computes its prompt, writes its answer."""

import enum
from collections.abc import Mapping

from epp.plugin import Endpoint

LABEL = "llm-d.ai/role"


class Stage(enum.Enum):
    """A part of the work on a request."""

    ENCODE = "encode"
    PREFILL = "prefill"
    DECODE = "decode"


_STAGES: Mapping[str, frozenset[Stage]] = {
    "encode": frozenset({Stage.ENCODE}),
    "prefill": frozenset({Stage.PREFILL}),
    "decode": frozenset({Stage.DECODE}),
    "encode-prefill": frozenset({Stage.ENCODE, Stage.PREFILL}),
    "prefill-decode": frozenset({Stage.PREFILL, Stage.DECODE}),
    "both": frozenset({Stage.PREFILL, Stage.DECODE}),
    "encode-prefill-decode": frozenset(Stage),
}
"""By the label's value; ``both`` is an old name."""


def does(endpoint: Endpoint, stage: Stage) -> bool:
    """Tell whether an endpoint does a part of the work; one without a label decodes, and nothing else."""
    role = endpoint.labels.get(LABEL)
    return stage is Stage.DECODE if role is None else stage in _STAGES.get(role, frozenset())
