"""What is valid in a configuration and will hurt all the same."""

import math
from collections.abc import Iterator, Mapping, Sequence

from epp.assembled import Assembly
from epp.config import EndpointPickerConfig, ProfilePluginSpec, ProfileSpec
from epp.plugin import Endpoint, Load, Problem
from epp.workshop import Role

LOAD = frozenset({"waiting", "running", "kv_cache_ratio", "in_flight"})
"""What tells how much an endpoint has to do."""
ONE_SIDE = 0.9
"""Share of all weights from which on one scorer decides alone."""


def advice_on(assembly: Assembly) -> list[Problem]:
    """Return what whoever wrote the configuration should think about, each with its place."""
    found: list[Problem] = [*assembly.notes]
    for i, profile in enumerate(assembly.config.scheduling_profiles):
        found += _on_profile(assembly, profile, f"schedulingProfiles[{i}]")
    found += _on_implied_profile(assembly)
    found += _on_shadow(assembly.config)
    found += _on_unused(assembly)
    found += _on_affinity(assembly)
    return found


def advice_against(assembly: Assembly, endpoint: Endpoint, page: bytes) -> list[Problem]:
    """Return what does not fit together with an engine, by its metrics page."""
    load = assembly.extractor.read_load(endpoint, page).load
    found = []
    for i, spec in enumerate(assembly.config.plugins):
        plugin = assembly.built[spec.ref].plugin
        missing = [name for name in _reads(plugin) if name != "in_flight" and getattr(load, name) is None]
        if missing:
            message = f"rates {', '.join(missing)}, which the engine's metrics page does not say"
            found.append(Problem(f"plugins[{i}]", message))
        found += _on_blocks(spec.parameters or {}, load, f"plugins[{i}].parameters")
    return found


def memory_bytes(assembly: Assembly) -> int:
    """Return the most that the plugins' indexes may take."""
    return sum(int(getattr(built.plugin, "max_memory_bytes", 0)) for built in assembly.built.values())


def _on_profile(assembly: Assembly, profile: ProfileSpec, path: str) -> Iterator[Problem]:
    weights = {
        entry.plugin_ref: 1.0 if entry.weight is None else entry.weight
        for entry in profile.plugins
        if _is(assembly, entry.plugin_ref, Role.SCORER)
    }
    if not weights:
        yield Problem(path, "has no scorer, so its picker chooses among equals")
        return
    for i, entry in enumerate(profile.plugins):
        if weights.get(entry.plugin_ref) == 0:
            yield Problem(f"{path}.plugins[{i}].weight", "is 0, so this scorer has no say")
        elif entry.weight is not None and entry.plugin_ref not in weights:
            yield Problem(f"{path}.plugins[{i}].weight", "has no effect: only scorers have a weight")
    rating = {name for name, weight in weights.items() if weight and LOAD.intersection(_reads_of(assembly, name))}
    if not rating and any(weights.values()):
        yield Problem(path, "has no scorer that rates load, so a busy endpoint gets as much as an idle one")
    yield from _on_one_side(weights, path)


def _on_one_side(weights: Mapping[str, float], path: str) -> Iterator[Problem]:
    total = math.fsum(weights.values())
    if len(weights) < 2 or not total:  # noqa: PLR2004 - nothing to compare
        return
    for name, weight in weights.items():
        if weight / total >= ONE_SIDE:
            yield Problem(path, f"`{name}` has {weight / total:.0%} of all weight and decides alone")


def _on_implied_profile(assembly: Assembly) -> Iterator[Problem]:
    """The same about the profile that there is where the configuration has none."""
    if assembly.config.scheduling_profiles:
        return
    (profile,) = assembly.profiles
    spec = ProfileSpec(plugins=[ProfilePluginSpec(plugin_ref=one.name) for one in profile.scorers])
    for problem in _on_profile(assembly, spec, "plugins" if assembly.config.plugins else ""):
        yield Problem(problem.path, f"there is no profile, and the one of all plugins {problem.message}")


def _on_shadow(config: EndpointPickerConfig) -> Iterator[Problem]:
    if config.shadow is not None and config.shadow.sample_ratio == 0:
        message = f"is 0, so the profile `{config.shadow.profile_ref}` is tried on no request"
        yield Problem("shadow.sampleRatio", message)


def _on_unused(assembly: Assembly) -> Iterator[Problem]:
    """Filters, scorers and pickers that no profile names."""
    config = assembly.config
    if not config.scheduling_profiles:
        return
    named = {entry.plugin_ref for profile in config.scheduling_profiles for entry in profile.plugins}
    named |= _named_elsewhere(config)
    taken = _taken_picker(assembly)
    for i, spec in enumerate(config.plugins):
        roles = [role for role in (Role.FILTER, Role.SCORER, Role.PICKER) if _is(assembly, spec.ref, role)]
        if roles and spec.ref not in named and spec.ref != taken and not _does_more(assembly, spec.ref):
            message = f"`{spec.ref}` is a {roles[0].noun} that no profile names, so it does nothing"
            if taken and Role.PICKER in roles:
                message += f": `{taken}` is the first, which profiles without a picker take"
            yield Problem(f"plugins[{i}]", message)


def _taken_picker(assembly: Assembly) -> str | None:
    """Return the picker of the profiles that name none, if there are any."""
    pickers = [spec.ref for spec in assembly.config.plugins if _is(assembly, spec.ref, Role.PICKER)]
    profiles = assembly.config.scheduling_profiles
    is_asked = any(not any(entry.plugin_ref in pickers for entry in profile.plugins) for profile in profiles)
    return pickers[0] if pickers and is_asked else None


def _named_elsewhere(config: EndpointPickerConfig) -> set[str]:
    refs = [config.saturation_detector, config.flow_control.saturation_detector if config.flow_control else None]
    return {ref.plugin_ref for ref in refs if ref is not None}


def _does_more(assembly: Assembly, name: str) -> bool:
    """Tell whether a plugin works without being named in a profile."""
    return any(_is(assembly, name, role) for role in (Role.PRODUCER, Role.ADMITTER))


def _on_affinity(assembly: Assembly) -> Iterator[Problem]:
    for i, spec in enumerate(assembly.config.plugins):
        parameters = spec.parameters or {}
        if spec.type == "prefix-cache-affinity-filter" and parameters.get("maxTTFTPenaltyMs") == 0:
            message = "is 0: requests stick to an endpoint however long its queue is"
            yield Problem(f"plugins[{i}].parameters.maxTTFTPenaltyMs", message)


def _on_blocks(parameters: Mapping[str, object], load: Load, path: str) -> Iterator[Problem]:
    own, engine = parameters.get("blockSizeTokens"), load.block_size_tokens
    if parameters.get("autoTune") is False and isinstance(own, int) and engine and own % engine:
        message = f"is {own}, but the engine's blocks have {engine} tokens: matches end where it has none"
        yield Problem(f"{path}.blockSizeTokens", message)


def _is(assembly: Assembly, name: str, role: Role) -> bool:
    plugin = assembly.built[name].plugin
    return all(hasattr(plugin, member) for member in role.members)


def _reads_of(assembly: Assembly, name: str) -> Sequence[str]:
    return _reads(assembly.built[name].plugin)


def _reads(plugin: object) -> Sequence[str]:
    """Return the numbers of endpoints that a scorer says it rates."""
    reads: Sequence[str] = getattr(plugin, "rates", ())
    return reads
