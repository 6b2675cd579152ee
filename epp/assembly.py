"""`EndpointPickerConfig` -> live plugins and profiles. The only caller of the registry.

`assemble` returns a working `Assembly`, or raises `ConfigurationError` with everything that is wrong: the problems of
shape that `epp.config` found, and what only the plugins themselves can tell (types, parameters, who can do what).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from epp.config import EndpointPickerConfig, PluginSpec, ProfilePluginSpec, ProfileSpec, check, decode
from epp.config.defaults import DEFAULT_PARSERS, DEFAULT_PICKER, DEFAULT_PROFILE_HANDLER
from epp.observability import Guard
from epp.observability.instrument import (
    GuardedFilter,
    GuardedObserver,
    GuardedParser,
    GuardedPicker,
    GuardedProducer,
    GuardedProfileHandler,
    GuardedScorer,
)
from epp.plugin import Attribute, ConfigurationError, Discovery, PluginContext, PluginParams, Problem
from epp.registry import Registry
from epp.scheduling import Profile, Scheduler, WeightedScorer

PRODUCER_DEADLINE_S = 0.4
"""A producer's time before the request goes on without it, as in the Go pickers."""

ROLES = {
    "filter": "filter",
    "score": "scorer",
    "pick": "picker",
    "select": "profile handler",
    "parse": "parser",
    "produce": "producer",
    "watch": "discovery",
}
"""The method that makes a plugin what it is -> what to call it."""
PROFILE_ROLES = ("filter", "score", "pick")


@dataclass(frozen=True, slots=True)
class Assembly:
    """The live parts of one configuration, each plugin behind its guard."""

    profiles: Sequence[Profile]
    scheduler: Scheduler
    parsers: Sequence[GuardedParser]
    producers: Sequence[GuardedProducer]
    observers: GuardedObserver
    discovery: Discovery | None


def assemble(
    config: EndpointPickerConfig,
    *,
    registry: Registry,
    context: Callable[[str], PluginContext],
    guard: Callable[[str], Guard],
    problems: Sequence[Problem] = (),
) -> Assembly:
    """Build every plugin and profile of ``config``; ``problems`` are those already found in its shape.

    ``context`` and ``guard`` make those of a plugin by its name. Raises `ConfigurationError` with all problems.
    """
    workshop = _Workshop(registry, context, check(config, problems))
    for i, spec in enumerate(config.plugins):
        workshop.add(spec, f"plugins[{i}]")
    parsers = [ref.plugin_ref for ref in config.request_handler.parsers]
    parsers = parsers or workshop.ensure_role("parse", DEFAULT_PARSERS)
    handler = workshop.profile_handler(config)
    workshop.ensure_producers()
    profiles = [
        _profile(workshop, guard, spec, f"schedulingProfiles[{i}]")
        for i, spec in enumerate(_profiles(config, workshop))
    ]
    discovery = config.data_layer.discovery.plugin_ref if config.data_layer.discovery else None
    workshop.require_role("parse", parsers, "requestHandler.parsers")
    workshop.require_role("watch", [discovery] if discovery else [], "dataLayer.discovery")
    if workshop.problems:
        raise ConfigurationError(workshop.problems)
    plugins = workshop.plugins
    return Assembly(
        profiles=profiles,
        scheduler=Scheduler(profiles, GuardedProfileHandler(guard(handler), plugins[handler])),
        parsers=[GuardedParser(guard(name), plugins[name]) for name in parsers],
        producers=[
            GuardedProducer(guard(name), plugins[name], deadline_s=PRODUCER_DEADLINE_S)
            for name in workshop.named("produce")
        ],
        observers=GuardedObserver(
            routed=[(guard(name), plugins[name]) for name in workshop.named("on_routed")],
            removed=[(guard(name), plugins[name]) for name in workshop.named("on_endpoint_removed")],
        ),
        discovery=plugins[discovery] if discovery else None,
    )


def _profiles(config: EndpointPickerConfig, workshop: "_Workshop") -> Sequence[ProfileSpec]:
    """Return the configured profiles, or one that holds every filter, scorer and picker in their order."""
    if config.scheduling_profiles:
        return config.scheduling_profiles
    entries = [
        ProfilePluginSpec(plugin_ref=spec.ref)
        for spec in config.plugins
        if any(workshop.has(spec.ref, role) for role in PROFILE_ROLES)
    ]
    return [ProfileSpec(name="default", plugins=entries)]


def _profile(workshop: "_Workshop", guard: Callable[[str], Guard], spec: ProfileSpec, path: str) -> Profile:
    entries = workshop.profile_entries(spec, path)
    picker = workshop.profile_picker(entries, path)
    plugins = workshop.plugins
    return Profile(
        name=spec.name,
        filters=[
            GuardedFilter(guard(entry.plugin_ref), plugins[entry.plugin_ref])
            for entry in entries
            if workshop.has(entry.plugin_ref, "filter")
        ],
        scorers=[
            WeightedScorer(
                entry.plugin_ref,
                GuardedScorer(guard(entry.plugin_ref), plugins[entry.plugin_ref]),
                1.0 if entry.weight is None else entry.weight,
            )
            for entry in entries
            if workshop.has(entry.plugin_ref, "score")
        ],
        picker=GuardedPicker(guard(picker), plugins[picker]),
    )


@dataclass(slots=True)
class _Workshop:
    """The plugins built so far, by name, and the problems found on the way."""

    registry: Registry
    context: Callable[[str], PluginContext]
    problems: list[Problem]
    plugins: dict[str, Any] = field(default_factory=dict)

    def add(self, spec: PluginSpec, path: str) -> None:
        """Build one plugin, or note why it cannot be built."""
        if not spec.type or spec.ref in self.plugins:
            return
        try:
            kind = self.registry.load(spec.type)
            arguments = self._arguments(kind, spec, path)
            self.plugins[spec.ref] = None if arguments is None else kind(**arguments)
        except ConfigurationError as error:
            self.problems.extend(Problem(path, problem.message) for problem in error.problems)
        except Exception as error:  # noqa: BLE001 - a third-party constructor: named, and the other problems still shown
            self.problems.append(Problem(path, f"plugin type `{spec.type}` failed to start: {error!r}"))

    def has(self, name: str, method: str) -> bool:
        """Tell whether the plugin of this name has a method, which is what gives it a role."""
        return callable(getattr(self.plugins.get(name), method, None))

    def named(self, method: str) -> list[str]:
        """Return the names of all plugins with a method, in the order of the configuration."""
        return [name for name in self.plugins if self.has(name, method)]

    def ensure_role(self, method: str, defaults: Iterable[str]) -> list[str]:
        """Return the plugins with a role; when there is none, build the default types and return those."""
        present = self.named(method)
        if present:
            return present
        for type_name in defaults:
            self.add(PluginSpec(type=type_name), "")
        built = self.named(method)
        if not built:
            raise ConfigurationError([*self.problems, f"no {ROLES[method]} can be built"])
        return built

    def ensure_producers(self) -> None:
        """Build the default producer of every attribute that a plugin consumes and none produces."""
        todo = list(self.plugins.values())
        while todo:
            for attribute in _declared(todo.pop(), "consumes"):
                if not any(attribute in _declared(plugin, "produces") for plugin in self.plugins.values()):
                    self.add(PluginSpec(type=attribute.default_producer), "")
                    todo.append(self.plugins.get(attribute.default_producer))

    def profile_handler(self, config: EndpointPickerConfig) -> str:
        """Return the name of the one profile handler."""
        handlers = self.named("select")
        profiles = len(config.scheduling_profiles)
        if len(handlers) > 1:
            self.problems.append(Problem("plugins", f"one profile handler is needed, not {len(handlers)}: {handlers}"))
        if not handlers and profiles > 1:
            message = f"{profiles} profiles need a profile handler among the plugins to choose between them"
            self.problems.append(Problem("schedulingProfiles", message))
        name = (handlers or self.ensure_role("select", [DEFAULT_PROFILE_HANDLER]))[0]
        most = getattr(self.plugins[name], "max_profiles", None)
        if handlers and most is not None and profiles > most:
            message = f"profile handler `{name}` runs {most} profile, so the other {profiles - most} would do nothing"
            self.problems.append(Problem("schedulingProfiles", message))
        return name

    def profile_entries(self, spec: ProfileSpec, path: str) -> Sequence[ProfilePluginSpec]:
        """Return the entries whose plugin was built, noting those that would do nothing in a profile."""
        entries = []
        for i, entry in enumerate(spec.plugins):
            if self.plugins.get(entry.plugin_ref) is None:
                continue
            entries.append(entry)
            if not any(self.has(entry.plugin_ref, role) for role in PROFILE_ROLES):
                message = f"`{entry.plugin_ref}` is no filter, scorer or picker, so it would do nothing in a profile"
                self.problems.append(Problem(f"{path}.plugins[{i}].pluginRef", message))
        return entries

    def profile_picker(self, entries: Sequence[ProfilePluginSpec], path: str) -> str:
        """Return the profile's picker: its own, else one of the configuration, else the default."""
        pickers = [entry.plugin_ref for entry in entries if self.has(entry.plugin_ref, "pick")]
        if len(pickers) > 1:
            self.problems.append(Problem(f"{path}.plugins", f"a profile has one picker, not {len(pickers)}: {pickers}"))
        return (pickers or self.ensure_role("pick", [DEFAULT_PICKER]))[0]

    def require_role(self, method: str, names: Iterable[str], path: str) -> None:
        """Note every plugin of ``names`` that lacks the role it is referred to for."""
        for name in names:
            if self.plugins.get(name) is not None and not self.has(name, method):
                self.problems.append(Problem(path, f"`{name}` is no {ROLES[method]}"))

    def _arguments(self, kind: type, spec: PluginSpec, path: str) -> Mapping[str, object] | None:
        """Return the constructor's arguments by annotation; ``None`` after noting that they cannot be given."""
        arguments: dict[str, object] = {}
        before = len(self.problems)
        takes_parameters = False
        for parameter in inspect.signature(kind, eval_str=True).parameters.values():
            wanted = parameter.annotation
            if wanted is PluginContext:
                arguments[parameter.name] = self.context(spec.ref)
            elif isinstance(wanted, type) and issubclass(wanted, PluginParams):
                takes_parameters = True
                raw = spec.parameters or {}
                arguments[parameter.name] = decode(wanted, raw, f"{path}.parameters", self.problems)
            elif parameter.default is parameter.empty:
                message = (
                    f"constructor parameter `{parameter.name}` of `{spec.type}` must be annotated with PluginContext "
                )
                self.problems.append(Problem(path, message + "or a PluginParams struct, or have a default"))
        if spec.parameters and not takes_parameters:
            self.problems.append(Problem(f"{path}.parameters", f"`{spec.type}` takes no parameters"))
        return arguments if len(self.problems) == before else None


def _declared(plugin: object, name: str) -> Sequence[type[Attribute]]:
    declared: Sequence[type[Attribute]] = getattr(plugin, name, ())
    return declared
