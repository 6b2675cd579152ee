"""What is valid in a configuration, and does not do what it looks like."""

from collections.abc import Iterator

from epp.config.flow_control import FLOW_CONTROL, is_on
from epp.config.model import API_VERSIONS, EndpointPickerConfig
from epp.plugin import Problem

NOBODY_WAITS = "this picker does not let requests wait, it sends them on at once"


def notes_on(config: EndpointPickerConfig) -> list[Problem]:
    """Return what whoever wrote the file should know, each with its place."""
    return [*_old_names(config), *_waiting(config), *_other_pickers(config)]


def _old_names(config: EndpointPickerConfig) -> Iterator[Problem]:
    if config.api_version == API_VERSIONS[1]:
        yield Problem("apiVersion", f"`{API_VERSIONS[1]}` is the old name of `{API_VERSIONS[0]}`")
    if config.parser is not None:
        is_used = not config.request_handler.parsers
        effect = "" if is_used else ", which is given too, so this one has no effect"
        yield Problem("parser", f"is the old place of requestHandler.parsers{effect}")
    if config.saturation_detector is not None:
        yield Problem("saturationDetector", "is the old place of flowControl.saturationDetector")


def _waiting(config: EndpointPickerConfig) -> Iterator[Problem]:
    if config.flow_control is not None and not is_on(config, FLOW_CONTROL):
        yield Problem(FLOW_CONTROL, f"has no effect: the feature gate `{FLOW_CONTROL}` is off")
    elif config.flow_control is not None:
        yield Problem(FLOW_CONTROL, f"is checked and has no effect: {NOBODY_WAITS}")
    elif is_on(config, FLOW_CONTROL):
        yield Problem("featureGates", f"`{FLOW_CONTROL}` has no effect: {NOBODY_WAITS}")


def _other_pickers(config: EndpointPickerConfig) -> Iterator[Problem]:
    if any(gate.startswith("haPopulateNonLeaderDatastore") for gate in config.feature_gates):
        yield Problem("featureGates", "haPopulateNonLeaderDatastore has no effect: every picker knows the whole pool")
    if config.data_layer.peer_discovery is not None:
        yield Problem("dataLayer.peerDiscovery", "has no effect: pickers agree without talking")
    if config.data_layer.cross_replica_syncer_plugin_ref:
        yield Problem("dataLayer.crossReplicaSyncerPluginRef", "has no effect: pickers agree without talking")
