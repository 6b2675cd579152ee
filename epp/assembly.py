"""`EndpointPickerConfig` -> live plugins and profiles. The only caller of the registry.

`assemble` returns a working `Assembly`, or raises `ConfigurationError` with everything that is wrong: the problems of
shape that `epp.config` found, and what only the plugins themselves can tell (types, parameters, who can do what).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from epp.assembled import Assembly, ShadowProfile, Surroundings
from epp.config import (
    DEFAULT_CONFIG,
    EndpointPickerConfig,
    ProfilePluginSpec,
    ProfileSpec,
    check,
    notes_on,
    read_config,
)
from epp.config.defaults import (
    DEFAULT_DATA_SOURCE,
    DEFAULT_DETECTOR,
    DEFAULT_EXTRACTOR,
    DEFAULT_PARSERS,
    DEFAULT_PICKER,
    DEFAULT_PROFILE_HANDLER,
)
from epp.config.flow_control import detector_references, policy_references
from epp.director.shedding import Shedder
from epp.observability import Guard
from epp.observability.lifecycle_guards import (
    GuardedAdmitter,
    GuardedDetector,
    GuardedDiscovery,
    GuardedObserver,
    GuardedParser,
    GuardedProducer,
    GuardedWorker,
)
from epp.observability.scheduling_guards import GuardedFilter, GuardedPicker, GuardedProfileHandler, GuardedScorer
from epp.observability.source_guards import GuardedDataSource, GuardedExtractor
from epp.plugin import ConfigurationError, PluginContext, Problem
from epp.plugin.scheduling import TABLE_COLUMNS
from epp.registry import Registry
from epp.scheduling import InPlay, NamedFilter, Profile, Scheduler, WeightedScorer
from epp.workshop import Built, Role, Workshop

IN_PROFILES = (Role.FILTER, Role.SCORER, Role.PICKER)


def assemble_text(
    text: str | None,
    surroundings: Surroundings,
    *,
    registry: Registry | None = None,
    alive: Mapping[str, Built] = MappingProxyType({}),
) -> Assembly:
    """Build the plugins and profiles of a configuration file's text, of the default configuration for ``None``.

    ``registry`` has the plugin types, those installed in this environment when left out. Plugins that are ``alive`` and
    that the text does not change are used as they are. Raises `ConfigurationError` with all problems.
    """
    config, problems = (DEFAULT_CONFIG, []) if text is None else read_config(text)
    assembler = _Assembler(config, surroundings, registry or Registry.installed(), check(config, problems), alive)
    return assembler.assemble()


class _Assembler:
    """One configuration on its way to an `Assembly`. First every plugin is built, then they are put in their places."""

    def __init__(
        self,
        config: EndpointPickerConfig,
        surroundings: Surroundings,
        registry: Registry,
        problems: list[Problem],
        alive: Mapping[str, Built],
    ) -> None:
        self._config = config
        self._surroundings = surroundings
        self._problems = problems
        self._notes = notes_on(config)
        self._workshop = Workshop(registry, self._context, problems, alive=alive)

    def assemble(self) -> Assembly:
        """Build, place, and raise `ConfigurationError` if anything was wrong."""
        for i, spec in enumerate(self._config.plugins):
            self._workshop.build(spec, f"plugins[{i}]")
            if spec.ref in TABLE_COLUMNS and self._workshop.has_role(spec.ref, Role.SCORER):
                message = f"`{spec.ref}` names a column of the decision table; take another name"
                self._problem(f"plugins[{i}].name", message)
        handler = self._profile_handler()
        parsers = self._parsers()
        discovery = self._discovery()
        source, extractor = self._load_source()
        default_picker = self._workshop.first_or_default(Role.PICKER, DEFAULT_PICKER)
        self._workshop.build_missing_producers()
        profiles = [
            self._profile(spec, f"schedulingProfiles[{i}]", default_picker)
            for i, spec in enumerate(self._profile_specs())
        ]
        detector = self._detector()
        self._workshop.connect()
        self._flow_control()
        producers = self._workshop.producers()
        if self._problems:
            raise ConfigurationError(self._problems)
        plugins, guard = self._workshop.plugins, self._guard
        named = self._workshop.named
        return Assembly(
            profiles=profiles,
            shadow=self._shadow(default_picker),
            scheduler=self._scheduler(profiles, handler),
            parsers=[GuardedParser(guard(name), plugins[name]) for name in parsers],
            producers=[GuardedProducer(guard(name), plugins[name]) for name in producers],
            admitters=[
                Shedder(GuardedDetector(guard(detector), plugins[detector])),
                *(GuardedAdmitter(guard(name), plugins[name]) for name in named(Role.ADMITTER)),
            ],
            workers=[GuardedWorker(guard(name), plugins[name]) for name in named(Role.BACKGROUND_WORKER)],
            observers=self._observers(),
            discovery=GuardedDiscovery(guard(discovery), plugins[discovery]) if discovery else None,
            source=GuardedDataSource(guard(source), plugins[source]),
            extractor=GuardedExtractor(guard(extractor), plugins[extractor]),
            built=self._workshop.built,
            fixed=[name for name in (discovery, source, extractor) if name],
            config=self._config,
            notes=self._notes,
        )

    def _context(self, name: str) -> PluginContext:
        around = self._surroundings
        return PluginContext(
            name=name,
            clock=around.clock,
            random=around.random,
            log=around.log.bind(plugin=name),
            metrics=around.plugin_metrics(name),
        )

    def _guard(self, name: str) -> Guard:
        return Guard(name, metrics=self._surroundings.metrics, log=self._surroundings.log)

    def _problem(self, path: str, message: str) -> None:
        self._problems.append(Problem(path, message))

    def _observers(self) -> GuardedObserver:
        def guarded(role: Role) -> list[tuple[Guard, Any]]:
            return [(self._guard(name), self._workshop.plugins[name]) for name in self._workshop.named(role)]

        return GuardedObserver(
            routed=guarded(Role.ROUTED_OBSERVER),
            heads=guarded(Role.RESPONSE_HEAD_OBSERVER),
            done=guarded(Role.DONE_OBSERVER),
            scraped=guarded(Role.SCRAPED_OBSERVER),
            lost=guarded(Role.ENDPOINT_LOST_OBSERVER),
            removed=guarded(Role.ENDPOINT_REMOVED_OBSERVER),
        )

    def _shadow(self, default_picker: str) -> ShadowProfile | None:
        """Return the profile that only looks on, if there is one."""
        spec = self._config.shadow
        for i, profile in enumerate(self._config.scheduling_profiles):
            if spec is not None and profile.name == spec.profile_ref:
                return ShadowProfile(
                    self._profile(profile, f"schedulingProfiles[{i}]", default_picker), spec.sample_ratio
                )
        return None

    def _profile_handler(self) -> str:
        """Return the name of the one profile handler."""
        handlers = self._workshop.named(Role.PROFILE_HANDLER)
        profiles = len(self._config.deciding_profiles)
        if len(handlers) > 1:
            self._problem("plugins", f"one profile handler is needed, not {len(handlers)}: {handlers}")
        if not handlers and profiles > 1:
            message = f"{profiles} profiles need a profile handler among the plugins to choose between them"
            self._problem("schedulingProfiles", message)
        name = self._workshop.first_or_default(Role.PROFILE_HANDLER, DEFAULT_PROFILE_HANDLER)
        most = getattr(self._workshop.plugins.get(name), "max_profiles", None)
        if handlers and most is not None and profiles > most:
            message = f"profile handler `{name}` runs {most} profile, so the other {profiles - most} would do nothing"
            self._problem("schedulingProfiles", message)
        return name

    def _scheduler(self, profiles: Sequence[Profile], handler: str) -> Scheduler:
        guarded = GuardedProfileHandler(self._guard(handler), self._workshop.plugins[handler])
        return Scheduler(profiles, guarded, optional=guarded.optional_profiles)

    def _parsers(self) -> Sequence[str]:
        named = [ref.plugin_ref for ref in self._config.parsers]
        for i, name in enumerate(named):
            self._require_role(name, Role.PARSER, f"requestHandler.parsers[{i}]")
        if named:
            return named
        return self._workshop.named(Role.PARSER) or [self._workshop.build_default(name) for name in DEFAULT_PARSERS]

    def _discovery(self) -> str | None:
        ref = self._config.data_layer.discovery
        if ref is None:
            return None
        self._require_role(ref.plugin_ref, Role.DISCOVERY, "dataLayer.discovery")
        return ref.plugin_ref

    def _load_source(self) -> tuple[str, str]:
        """Return the names of the data source and of the extractor that reads its pages."""
        sources = self._config.data_layer.sources
        if not sources and not self._config.data_layer.inject_defaults:
            message = "is needed where injectDefaults is false: nothing would tell which endpoints are ready"
            self._problem("dataLayer.sources", message)
        if len(sources) > 1:
            self._problem("dataLayer.sources", f"one source of load is needed, not {len(sources)}")
        for i, spec in enumerate(sources):
            path = f"dataLayer.sources[{i}]"
            self._require_role(spec.plugin_ref, Role.DATA_SOURCE, path)
            if len(spec.extractors) > 1:
                self._problem(f"{path}.extractors", f"one extractor is needed, not {len(spec.extractors)}")
            for j, ref in enumerate(spec.extractors):
                self._require_role(ref.plugin_ref, Role.EXTRACTOR, f"{path}.extractors[{j}]")
        source = sources[0] if sources else None
        extractor = source.extractors[0] if source and source.extractors else None
        return (
            source.plugin_ref if source else self._only(Role.DATA_SOURCE, DEFAULT_DATA_SOURCE),
            extractor.plugin_ref if extractor else self._only(Role.EXTRACTOR, DEFAULT_EXTRACTOR),
        )

    def _flow_control(self) -> None:
        """Check that plugins are what the sections about waiting take them for."""
        for path, name in detector_references(self._config):
            self._require_role(name, Role.SATURATION_DETECTOR, path)
        for path, name, policy in policy_references(self._config):
            plugin = self._workshop.plugins.get(name)
            if plugin is not None and getattr(plugin, "flow_control_policy", None) is not policy:
                self._problem(path, f"`{name}` is no {policy.value}")

    def _detector(self) -> str:
        """Return the saturation detector that the configuration names, or the default one."""
        named = [name for _, name in detector_references(self._config) if self._workshop.is_built(name)]
        own = [spec.ref for spec in self._config.plugins if spec.type == DEFAULT_DETECTOR]
        return next(iter([*named[-1:], *own]), None) or self._workshop.build_default(DEFAULT_DETECTOR)

    def _only(self, role: Role, default_type: str) -> str:
        """Return the one plugin with a role that no section names, or the default one."""
        present = self._workshop.named(role)
        if len(present) > 1:
            self._problem("dataLayer.sources", f"say which {role.noun} is used, of {present}")
        return self._workshop.first_or_default(role, default_type)

    def _require_role(self, name: str, role: Role, path: str) -> None:
        if self._workshop.is_built(name) and not self._workshop.has_role(name, role):
            self._problem(f"{path}.pluginRef", f"`{name}` is no {role.noun}")

    def _profile_specs(self) -> Sequence[ProfileSpec]:
        """Return the configured profiles, or one that holds every filter, scorer and picker in their order."""
        if self._config.scheduling_profiles:
            return self._config.deciding_profiles
        names = [spec.ref for spec in self._config.plugins]
        entries = [ProfilePluginSpec(plugin_ref=name) for name in names if self._fits_profile(name)]
        return [ProfileSpec(name="default", plugins=entries)]

    def _fits_profile(self, name: str) -> bool:
        return any(self._workshop.has_role(name, role) for role in IN_PROFILES)

    def _profile(self, spec: ProfileSpec, path: str, default_picker: str) -> Profile:
        workshop = self._workshop
        for i, entry in enumerate(spec.plugins):
            if workshop.is_built(entry.plugin_ref) and not self._fits_profile(entry.plugin_ref):
                message = f"`{entry.plugin_ref}` is no filter, scorer or picker, so it does nothing in a profile"
                self._notes.append(Problem(f"{path}.plugins[{i}].pluginRef", message))
        names = [entry.plugin_ref for entry in spec.plugins]
        pickers = [name for name in names if workshop.has_role(name, Role.PICKER)]
        if len(pickers) > 1:
            self._problem(f"{path}.plugins", f"a profile has one picker, not {len(pickers)}: {pickers}")
        picker = (pickers or [default_picker])[0]
        return Profile(
            name=spec.name,
            filters=[
                NamedFilter(name, GuardedFilter(self._guard(name), workshop.plugins[name]))
                for name in names
                if workshop.has_role(name, Role.FILTER)
            ],
            scorers=[self._scorer(entry) for entry in spec.plugins if workshop.has_role(entry.plugin_ref, Role.SCORER)],
            picker=GuardedPicker(self._guard(picker), workshop.plugins[picker]),
            in_play=InPlay(self._surroundings.clock, self._surroundings.random, self._surroundings.settling),
        )

    def _scorer(self, entry: ProfilePluginSpec) -> WeightedScorer:
        name = entry.plugin_ref
        guarded = GuardedScorer(self._guard(name), self._workshop.plugins[name])
        return WeightedScorer(name, guarded, 1.0 if entry.weight is None else float(entry.weight))
