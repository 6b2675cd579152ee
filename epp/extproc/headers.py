"""Header and metadata names of the Endpoint Picker Protocol; control headers in their current and old spelling."""

from collections.abc import Mapping

from epp._pb.base_pb2 import HeaderMap
from epp.director import NO_CONTROLS, Controls

DESTINATION = "x-gateway-destination-endpoint"
"""Where the request should go: ``ip:port[,ip:port...]``, as request header and in the metadata below."""
DESTINATION_NAMESPACE = "envoy.lb"
SUBSET = "x-gateway-destination-endpoint-subset"
"""The gateway's list of allowed endpoints, in the request's metadata."""
SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SERVED = "x-gateway-destination-endpoint-served"
"""The endpoint that has served it, in the metadata of the response."""
DROP_REASON = "x-llm-d-request-dropped-reason"

MODEL_REWRITE = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
OBJECTIVE = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
FAIRNESS_ID = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")

ROLES = ("x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port")
"""Which endpoints do a part of the work: read by the coordinator beside the one that the request goes to."""

CONTROL_HEADERS = (SUBSET, SERVED, *MODEL_REWRITE, *OBJECTIVE, *FAIRNESS_ID, *ROLES)
"""Removed from what goes upstream: they steer the picker, and a client must not be able to steer what comes after.

`DESTINATION` is not among them because it is overwritten.
"""

_TAKEN = frozenset({DESTINATION, *CONTROL_HEADERS})


def read_head(headers: HeaderMap) -> dict[str, str]:
    """Return header values by lower-case name; of several with one name, the last one."""
    return {one.key.lower(): str(one.raw_value, "utf-8", "replace") or one.value for one in headers.headers}


def take_controls(head: dict[str, str]) -> Controls:
    """Take the control headers out of a head, and return what they say."""
    if _TAKEN.isdisjoint(head):
        return NO_CONTROLS
    controls = Controls(
        model_rewrite=_first(head, MODEL_REWRITE),
        objective=_first(head, OBJECTIVE),
        fairness_id=_first(head, FAIRNESS_ID),
    )
    for name in _TAKEN:
        head.pop(name, None)
    return controls


def _first(head: Mapping[str, str], spellings: tuple[str, ...]) -> str:
    """Return the value under the current spelling, else the old one, else nothing."""
    return next((head[name] for name in spellings if head.get(name)), "")
