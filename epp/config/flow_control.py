"""The sections about requests that wait: ``flowControl`` and the feature gates."""

import re
from collections.abc import Iterator

from epp.config.decode import did_you_mean
from epp.config.model import EndpointPickerConfig, FlowControlSpec, PriorityBandSpec
from epp.plugin import FlowControlPolicy, Problem, parse_duration

FLOW_CONTROL = "flowControl"
GATES = {FLOW_CONTROL: False, "haPopulateNonLeaderDatastore": True}
"""Feature gates of the Go pickers with their defaults."""
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(|k|[MGTPE]|[KMGTPE]i|m|e\d+)", re.ASCII)
_GATE = re.compile(r"([^=]*)(?:=(true|false))?")


def is_on(config: EndpointPickerConfig, gate: str) -> bool:
    """Tell whether a feature gate is on; of several entries the last one counts."""
    state = GATES[gate]
    for entry in config.feature_gates:
        match = _GATE.fullmatch(entry)
        if match is not None and match[1] == gate:
            state = match[2] != "false"
    return state


def check_waiting(config: EndpointPickerConfig) -> Iterator[Problem]:
    """Yield what is wrong with the gates and with ``flowControl``, whether that is switched on or not."""
    for i, gate in enumerate(config.feature_gates):
        match = _GATE.fullmatch(gate)
        if match is None:
            yield Problem(f"featureGates[{i}]", f"`{gate}` must be a name, name=true or name=false")
        elif match[1] not in GATES:
            yield Problem(f"featureGates[{i}]", f"there is no gate `{match[1]}`{did_you_mean(match[1], GATES)}")
    yield from _check_duration("dataLayer.crossReplicaSyncInterval", config.data_layer.cross_replica_sync_interval)
    if config.flow_control is not None:
        yield from _check_flow_control(config.flow_control)


def policy_references(config: EndpointPickerConfig) -> Iterator[tuple[str, str, FlowControlPolicy]]:
    """Yield where policies are named, the name, and what it should be."""
    if config.flow_control is None:
        return
    limit = config.flow_control.usage_limit_policy_plugin_ref
    if limit:
        yield f"{FLOW_CONTROL}.usageLimitPolicyPluginRef", limit, FlowControlPolicy.USAGE_LIMIT
    for path, band in _bands(config.flow_control):
        if band.fairness_policy_ref:
            yield f"{path}.fairnessPolicyRef", band.fairness_policy_ref, FlowControlPolicy.FAIRNESS
        if band.ordering_policy_ref:
            yield f"{path}.orderingPolicyRef", band.ordering_policy_ref, FlowControlPolicy.ORDERING


def detector_references(config: EndpointPickerConfig) -> Iterator[tuple[str, str]]:
    """Yield where saturation detectors are referred to, and their names."""
    if config.saturation_detector is not None:
        yield "saturationDetector", config.saturation_detector.plugin_ref
    if config.flow_control is not None and config.flow_control.saturation_detector is not None:
        yield f"{FLOW_CONTROL}.saturationDetector", config.flow_control.saturation_detector.plugin_ref


def _check_flow_control(spec: FlowControlSpec) -> Iterator[Problem]:
    yield from _check_duration(f"{FLOW_CONTROL}.defaultRequestTTL", spec.default_request_ttl)
    if spec.no_endpoint_request_ttl is not None:
        yield from _check_duration(f"{FLOW_CONTROL}.noEndpointRequestTTL", spec.no_endpoint_request_ttl)
    yield from _check_bounds(FLOW_CONTROL, spec)
    for path, band in _bands(spec):
        yield from _check_bounds(path, band)
    seen: set[int] = set()
    for i, band in enumerate(spec.priority_bands):
        path = f"{FLOW_CONTROL}.priorityBands[{i}].priority"
        if band.priority is None:
            yield Problem(path, "is required")
        elif band.priority in seen:
            yield Problem(path, f"another band has priority {band.priority} already")
        else:
            seen.add(band.priority)


def _bands(spec: FlowControlSpec) -> Iterator[tuple[str, PriorityBandSpec]]:
    for i, band in enumerate(spec.priority_bands):
        yield f"{FLOW_CONTROL}.priorityBands[{i}]", band
    if spec.default_priority_band is not None:
        yield f"{FLOW_CONTROL}.defaultPriorityBand", spec.default_priority_band
    if spec.default_negative_priority_band is not None:
        yield f"{FLOW_CONTROL}.defaultNegativePriorityBand", spec.default_negative_priority_band


def _check_bounds(path: str, spec: FlowControlSpec | PriorityBandSpec) -> Iterator[Problem]:
    for name, quantity in (("maxBytes", spec.max_bytes), ("maxRequests", spec.max_requests)):
        if quantity is not None and not _QUANTITY.fullmatch(str(quantity)):
            yield Problem(f"{path}.{name}", f"must be 0 or more, such as 5000, 1Gi or 100M, not `{quantity}`")


def _check_duration(path: str, text: str) -> Iterator[Problem]:
    try:
        parse_duration(text)
    except ValueError as error:
        yield Problem(path, str(error))
