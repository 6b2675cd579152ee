"""Header and metadata names of the Endpoint Picker Protocol; control headers in their current and old spelling."""

DESTINATION = "x-gateway-destination-endpoint"
"""Where the request should go: ``ip:port[,ip:port...]``, as request header and in the metadata below."""
DESTINATION_NAMESPACE = "envoy.lb"
SUBSET = "x-gateway-destination-endpoint-subset"
"""The gateway's list of allowed endpoints, in the request's metadata."""
SUBSET_NAMESPACE = "envoy.lb.subset_hint"
DROP_REASON = "x-llm-d-request-dropped-reason"

CONTROL_HEADERS = (
    SUBSET,
    "x-gateway-destination-endpoint-served",
    "x-llm-d-inference-objective",
    "x-gateway-inference-objective",
    "x-llm-d-inference-fairness-id",
    "x-gateway-inference-fairness-id",
    "x-llm-d-model-name-rewrite",
    "x-gateway-model-name-rewrite",
)
"""Removed from what goes upstream: they steer the picker, and a client must not be able to steer what comes after.

`DESTINATION` is not among them because it is overwritten.
"""
