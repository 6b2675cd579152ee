"""What a new configuration has changed, in the words of whoever reads the log."""

from collections.abc import Iterator, Sequence

import msgspec

from epp.assembled import Assembly
from epp.config import EndpointPickerConfig, ProfilePluginSpec, ProfileSpec
from epp.reloading import Changes


def changes_between(before: Assembly, after: Assembly, *, running: Sequence[object]) -> Changes:
    """Return what has changed; ``running`` is what `fixed_parts` said at start."""
    old, new = before.built, after.built
    fixed = {*before.fixed, *after.fixed}
    return Changes(
        added=sorted(new.keys() - old.keys() - fixed),
        removed=sorted(old.keys() - new.keys() - fixed),
        changed=sorted(name for name in (old.keys() & new.keys()) - fixed if old[name] is not new[name]),
        profiles=list(_profiles(before.config, after.config)),
        sections=list(_sections(before.config, after.config)),
        needs_restart=[
            f"dataLayer: {name}"
            for name, part in zip(after.fixed, fixed_parts(after), strict=True)
            if part not in running
        ],
        is_alike=before.config == after.config,
    )


def fixed_parts(assembly: Assembly) -> Sequence[object]:
    """Return what the plugins are made of that find endpoints and fetch their load: they run from start to end."""
    specs = [assembly.built[name].spec for name in assembly.fixed]
    return [(spec.type, spec.parameters or {}) for spec in specs]


def _profiles(before: EndpointPickerConfig, after: EndpointPickerConfig) -> Iterator[str]:
    old = {profile.name: profile for profile in before.scheduling_profiles}
    new = {profile.name: profile for profile in after.scheduling_profiles}
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"{name}: added"
        elif name not in new:
            yield f"{name}: removed"
        else:
            yield from (f"{name}: {words}" for words in _entries(old[name], new[name]))


def _entries(before: ProfileSpec, after: ProfileSpec) -> Iterator[str]:
    old = {entry.plugin_ref: entry for entry in before.plugins}
    new = {entry.plugin_ref: entry for entry in after.plugins}
    for name, entry in new.items():
        if name not in old:
            yield f"{name} added" + ("" if entry.weight is None else f" with weight {entry.weight:g}")
        elif _weight(old[name]) != _weight(entry):
            yield f"{name} {_weight(old[name]):g} -> {_weight(entry):g}"
    yield from (f"{name} removed" for name in old if name not in new)
    if _is_reordered(list(old), list(new)):
        yield "order of its plugins"


def _weight(entry: ProfilePluginSpec) -> float:
    return 1.0 if entry.weight is None else entry.weight


def _sections(before: EndpointPickerConfig, after: EndpointPickerConfig) -> Iterator[str]:
    """Yield all differences but those of single plugins and profiles, and what cannot be replaced."""
    if _is_reordered([spec.ref for spec in before.plugins], [spec.ref for spec in after.plugins]):
        yield "plugins: order"
    old_names, new_names = ([one.name for one in config.scheduling_profiles] for config in (before, after))
    if _is_reordered(old_names, new_names):
        yield "schedulingProfiles: order"
    for field in msgspec.structs.fields(EndpointPickerConfig):
        if field.name not in {"plugins", "scheduling_profiles"}:
            yield from _differences(field.encode_name, getattr(before, field.name), getattr(after, field.name))


def _is_reordered(before: Sequence[str], after: Sequence[str]) -> bool:
    return [name for name in before if name in after] != [name for name in after if name in before]


_TOLD_OTHERWISE = frozenset({"dataLayer.discovery", "dataLayer.sources"})
"""As `Changes.needs_restart`."""


def _differences(path: str, before: object, after: object) -> Iterator[str]:
    match before, after:
        case _ if before == after or path in _TOLD_OTHERWISE:
            return
        case None, _:
            yield f"{path}: added"
        case _, None:
            yield f"{path}: removed"
        case msgspec.Struct(), msgspec.Struct():
            for field in msgspec.structs.fields(before):
                below = f"{path}.{field.encode_name}"
                yield from _differences(below, getattr(before, field.name), getattr(after, field.name))
        case ([msgspec.Struct(), *_], _) | (_, [msgspec.Struct(), *_]):
            yield f"{path}: changed"
        case _:
            yield f"{path}: {_text(before)} -> {_text(after)}"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
