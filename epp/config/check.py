"""What shape alone cannot tell: required names, duplicates, references to nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from epp.config.decode import did_you_mean
from epp.config.flow_control import check_waiting, detector_references, policy_references
from epp.config.model import API_VERSIONS, KIND, EndpointPickerConfig, PluginRef, ProfileSpec
from epp.plugin import Problem

MAX_WEIGHT = 1_000_000
"""Sums of what is larger say nothing any more about the smaller ones."""


def check(config: EndpointPickerConfig, found: Sequence[Problem] = ()) -> list[Problem]:
    """Return every problem that can be seen without loading a plugin, after those ``found`` in the shape.

    A value that is already known to be broken is not also reported as missing.
    """
    broken = {problem.path for problem in found}
    problems = [
        *_check_head(config),
        *_check_plugins(config),
        *_check_profiles(config),
        *_check_shadow(config),
        *_check_policies(config),
        *check_waiting(config),
        *_check_references(config),
    ]
    return [*found, *(one for one in problems if broken.isdisjoint({one.path, one.path.rpartition(".")[0]}))]


def _check_head(config: EndpointPickerConfig) -> Iterator[Problem]:
    if config.api_version not in API_VERSIONS:
        expected = " or ".join(f"`{version}`" for version in API_VERSIONS)
        yield Problem("apiVersion", f"must be {expected}, not `{config.api_version}`")
    if config.kind != KIND:
        yield Problem("kind", f"must be `{KIND}`, not `{config.kind}`")


def _check_plugins(config: EndpointPickerConfig) -> Iterator[Problem]:
    for i, plugin in enumerate(config.plugins):
        if not plugin.type:
            yield Problem(f"plugins[{i}].type", "is required")
    yield from _duplicates([plugin.ref for plugin in config.plugins], "plugins", "plugin")


def _check_profiles(config: EndpointPickerConfig) -> Iterator[Problem]:
    for i, profile in enumerate(config.scheduling_profiles):
        path = f"schedulingProfiles[{i}]"
        if not profile.name:
            yield Problem(f"{path}.name", "is required")
        yield from _duplicates([entry.plugin_ref for entry in profile.plugins], f"{path}.plugins", "plugin")
        yield from _check_weights(profile, path)
    names = [profile.name for profile in config.scheduling_profiles]
    yield from _duplicates(names, "schedulingProfiles", "profile")


def _check_policies(config: EndpointPickerConfig) -> Iterator[Problem]:
    for i, objective in enumerate(config.inference_objectives):
        if not objective.name:
            yield Problem(f"inferenceObjectives[{i}].name", "is required")
    names = [objective.name for objective in config.inference_objectives]
    yield from _duplicates(names, "inferenceObjectives", "objective")
    for i, rule in enumerate(config.model_rewrites):
        path = f"modelRewrites[{i}]"
        if not rule.targets:
            yield Problem(f"{path}.targets", "is required, and names at least one model")
        for j, match in enumerate(rule.matches):
            if not match.model.value:
                yield Problem(f"{path}.matches[{j}].model.value", "is required")
        for j, target in enumerate(rule.targets):
            if not target.model_rewrite:
                yield Problem(f"{path}.targets[{j}].modelRewrite", "is required")


def _check_weights(profile: ProfileSpec, path: str) -> Iterator[Problem]:
    for i, entry in enumerate(profile.plugins):
        if entry.weight is not None and not 0 <= entry.weight <= MAX_WEIGHT:
            yield Problem(f"{path}.plugins[{i}].weight", f"must be from 0 to {MAX_WEIGHT:,}, not {entry.weight}")


def _check_shadow(config: EndpointPickerConfig) -> Iterator[Problem]:
    if config.shadow is None:
        return
    names = [profile.name for profile in config.scheduling_profiles]
    if not config.shadow.profile_ref:
        yield Problem("shadow.profileRef", "is required")
    elif config.shadow.profile_ref not in names:
        hint = did_you_mean(config.shadow.profile_ref, names)
        yield Problem("shadow.profileRef", f"no profile is named `{config.shadow.profile_ref}`{hint}")
    elif not config.deciding_profiles:
        yield Problem("shadow.profileRef", "is the only profile, so none would be left to decide")
    if not 0 <= config.shadow.sample_ratio <= 1:
        yield Problem("shadow.sampleRatio", f"must be from 0 to 1, not {config.shadow.sample_ratio}")


def _check_references(config: EndpointPickerConfig) -> Iterator[Problem]:
    defined = {plugin.ref for plugin in config.plugins}
    for path, ref in _references(config):
        if not ref:
            yield Problem(f"{path}.pluginRef", "is required")
        elif ref not in defined:
            yield _undefined(f"{path}.pluginRef", ref, defined)
    for path, ref, _ in policy_references(config):
        if ref not in defined:
            yield _undefined(path, ref, defined)
    syncer = config.data_layer.cross_replica_syncer_plugin_ref
    if syncer and syncer not in defined:
        yield _undefined("dataLayer.crossReplicaSyncerPluginRef", syncer, defined)


def _undefined(path: str, ref: str, defined: Iterable[str]) -> Problem:
    return Problem(path, f"no plugin is named `{ref}`{did_you_mean(ref, defined)}")


def _references(config: EndpointPickerConfig) -> Iterator[tuple[str, str]]:
    for i, profile in enumerate(config.scheduling_profiles):
        for j, entry in enumerate(profile.plugins):
            yield f"schedulingProfiles[{i}].plugins[{j}]", entry.plugin_ref
    yield from _refs(config.request_handler.parsers, "requestHandler.parsers")
    if config.parser is not None:
        yield "parser", config.parser.plugin_ref
    yield from detector_references(config)
    for i, source in enumerate(config.data_layer.sources):
        yield f"dataLayer.sources[{i}]", source.plugin_ref
        yield from _refs(source.extractors, f"dataLayer.sources[{i}].extractors")
    layer = config.data_layer
    for path, ref in (("discovery", layer.discovery), ("peerDiscovery", layer.peer_discovery)):
        if ref is not None:
            yield f"dataLayer.{path}", ref.plugin_ref


def _refs(refs: Iterable[PluginRef], path: str) -> Iterator[tuple[str, str]]:
    return ((f"{path}[{i}]", ref.plugin_ref) for i, ref in enumerate(refs))


def _duplicates(names: Sequence[str], path: str, noun: str) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if name and count > 1:
            places = ", ".join(str(i) for i, other in enumerate(names) if other == name)
            yield Problem(path, f"{noun} `{name}` stands {count} times (entries {places}); give each its own name")
