"""Builds plugins for `epp.assembly`: one for each entry of the configuration, and the defaults that it leaves out."""

import contextlib
import enum
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from structlog.typing import FilteringBoundLogger

from epp.config import PluginSpec, decode
from epp.observability import Guard, Metrics
from epp.plugin import Attribute, ConfigurationError, Connected, PluginContext, PluginParams, Problem
from epp.registry import Registry


class Role(enum.Enum):
    """What a plugin can be. It is one if it has all members of the role's protocol."""

    FILTER = ("filter", "filter")
    SCORER = ("scorer", "score")
    PICKER = ("picker", "pick")
    PROFILE_HANDLER = ("profile handler", "select", "decide")
    PARSER = ("parser", "paths", "parse")
    PRODUCER = ("producer", "produce")
    DECIDER = ("decider", "is_worth_it")
    SATURATION_DETECTOR = ("saturation detector", "saturation")
    ADMITTER = ("admitter", "admit")
    BACKGROUND_WORKER = ("background worker", "run_in_background")
    DISCOVERY = ("discovery", "watch")
    DATA_SOURCE = ("data source", "open_pages")
    EXTRACTOR = ("extractor", "read_load")
    ROUTED_OBSERVER = ("observer of decisions", "on_routed")
    RESPONSE_HEAD_OBSERVER = ("observer of answers", "on_response_head")
    DONE_OBSERVER = ("observer of ended requests", "on_done")
    SCRAPED_OBSERVER = ("observer of loads", "on_scraped")
    ENDPOINT_LOST_OBSERVER = ("observer of lost endpoints", "on_endpoint_lost")
    ENDPOINT_REMOVED_OBSERVER = ("observer of endpoints", "on_endpoint_removed")

    def __init__(self, noun: str, *members: str) -> None:
        self.noun = noun
        self.members = members


@dataclass(frozen=True, slots=True)
class Built:
    """A plugin, and what it was built of."""

    spec: PluginSpec
    plugin: Any

    def is_made_of(self, spec: PluginSpec) -> bool:
        """Tell whether another entry of a configuration would make the same."""
        return (self.spec.type, self.spec.parameters or {}) == (spec.type, spec.parameters or {})


def reconnect(built: Mapping[str, Built], *, metrics: Metrics, log: FilteringBoundLogger) -> None:
    """Let plugins find each other again that another configuration has shown others to.

    One that fails is logged and counted: the others are as they were.
    """
    plugins = {name: one.plugin for name, one in built.items()}
    for name, plugin in plugins.items():
        if hasattr(plugin, "connect"):
            Guard(name, metrics=metrics, log=log).attempt("connect", plugin.connect, plugins)


class Workshop:
    """The plugins built so far, by name; problems found on the way go to the list that it was given."""

    def __init__(
        self,
        registry: Registry,
        context: Callable[[str], PluginContext],
        problems: list[Problem],
        *,
        alive: Mapping[str, Built],
    ) -> None:
        """Take, beside what it needs, the plugins that are ``alive`` by name: those that stay as they are live on."""
        self.plugins: dict[str, Any] = {}
        """Name -> instance; ``None`` for one that could not be built."""
        self.built: dict[str, Built] = {}
        """The same with what they were built of, without those that could not be."""
        self._alive = alive
        self._paths: dict[str, str] = {}
        """Name -> where the configuration has it."""
        self._registry = registry
        self._context = context
        self._problems = problems

    def build(self, spec: PluginSpec, path: str) -> None:
        """Build one plugin, or note why it cannot be built. An entry without a type, or a second one, is left out."""
        if not spec.type or spec.ref in self.plugins:
            return
        self._paths[spec.ref] = path
        before = self._alive.get(spec.ref)
        if before is not None and before.is_made_of(spec):
            self.plugins[spec.ref], self.built[spec.ref] = before.plugin, before
            return
        self.plugins[spec.ref] = None
        self._noting(path, f"plugin type `{spec.type}`", lambda: self._build(spec, path))

    def connect(self) -> None:
        """Let plugins find each other, now that all are built."""
        for name, plugin in self.plugins.items():
            if hasattr(plugin, "connect"):
                self._noting(self._paths.get(name, ""), f"plugin `{name}`", lambda: self._connect(plugin))  # noqa: B023 - called at once

    def is_built(self, name: str) -> bool:
        """Tell whether there is a live plugin of this name."""
        return self.plugins.get(name) is not None

    def has_role(self, name: str, role: Role) -> bool:
        """Tell whether the plugin of this name can be used in a role."""
        plugin = self.plugins.get(name)
        return plugin is not None and all(hasattr(plugin, member) for member in role.members)

    def named(self, role: Role) -> list[str]:
        """Return the names of all plugins with a role, in the order of the configuration."""
        return [name for name in self.plugins if self.has_role(name, role)]

    def first_or_default(self, role: Role, default_type: str) -> str:
        """Return the first plugin with a role, building one of the default type when there is none."""
        present = self.named(role)
        return present[0] if present else self.build_default(default_type)

    def build_default(self, type_name: str) -> str:
        """Build a plugin that the configuration leaves out; returns its name, which is the type's if that is free."""
        name = type_name
        while name in self.plugins:
            name += "-default"
        self.build(PluginSpec(name=name, type=type_name), "")
        return name

    def build_missing_producers(self) -> None:
        """Build the default producer of every attribute that is consumed and that nobody produces."""
        todo = list(self.plugins.items())
        settled: set[type[Attribute]] = set()
        while todo:
            name, plugin = todo.pop()
            for attribute in _declared(plugin, "consumes"):
                producer = _consumes_from(plugin).get(attribute)
                if producer is not None:
                    self._require_producer(name, attribute, producer)
                elif attribute not in settled:
                    settled.add(attribute)
                    todo.extend((one, self.plugins[one]) for one in self._producer_for(attribute))

    def producers(self) -> list[str]:
        """Return the names of all producers, each after those whose attributes it consumes.

        Those that are consumed from by name come after all others of their kind.
        """
        named = self._consumed_by_name()
        names = sorted(self.named(Role.PRODUCER), key=lambda name: name in named)
        makers = {name: _declared(self.plugins[name], "produces") for name in names}
        before: dict[str, list[str]] = {name: [] for name in names}
        for name in names:
            consumed = set(_declared(self.plugins[name], "consumes"))
            before[name] = [other for other in names if consumed.intersection(makers[other])]
        try:
            return list(TopologicalSorter(before).static_order())
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            self._problems.append(Problem("plugins", f"these producers wait for each other: {circle}"))
            return names

    def _require_producer(self, consumer: str, attribute: type[Attribute], producer: str) -> None:
        if producer in self.plugins and self.plugins[producer] is None:
            return  # its own problem is noted already
        if attribute not in _declared(self.plugins.get(producer), "produces"):
            message = f"no producer of {attribute.__name__} is named `{producer}`"
            self._problems.append(Problem(f"{self._paths.get(consumer, '')}.parameters", message))

    def _consumed_by_name(self) -> set[str]:
        """Return the producers that a consumer names."""
        return {name for plugin in self.plugins.values() for name in _consumes_from(plugin).values()}

    def _producer_for(self, attribute: type[Attribute]) -> Sequence[str]:
        """Return the producer that had to be built for an attribute, if one had to."""
        named = self._consumed_by_name()
        present = [name for name, plugin in self.plugins.items() if attribute in _declared(plugin, "produces")]
        producers = [name for name in present if name not in named]
        if len(producers) > 1:
            several = f"{attribute.__name__} is produced by {len(producers)} plugins: {producers}"
            message = f"{several}; all but one have to be named by whoever consumes from them"
            self._problems.append(Problem("plugins", message))
        if producers or (len(present) == 1 and attribute.default_producer is None):
            return ()
        if attribute.default_producer is None:
            self._problems.append(Problem("plugins", f"no plugin produces {attribute.__name__}, which one consumes"))
            return ()
        return [self.build_default(attribute.default_producer)]

    def _build(self, spec: PluginSpec, path: str) -> None:
        kind = self._registry.load(spec.type)
        arguments = self._arguments(kind, spec, path)
        if arguments is not None:
            with _among_parameters():
                self.plugins[spec.ref] = kind(**arguments)
            self.built[spec.ref] = Built(spec, self.plugins[spec.ref])

    def _connect(self, plugin: Connected) -> None:
        with _among_parameters():
            plugin.connect(self.plugins)

    def _noting(self, path: str, what: str, do: Callable[[], None]) -> None:
        """Do something with a plugin, and note why that fails."""
        try:
            do()
        except ConfigurationError as error:
            self._problems.extend(Problem(_join(path, problem.path), problem.message) for problem in error.problems)
        except Exception as error:  # noqa: BLE001 - third-party code: named, and the other problems still shown
            self._problems.append(Problem(path, f"{what} failed to start: {error!r}"))

    def _arguments(self, kind: type, spec: PluginSpec, path: str) -> Mapping[str, object] | None:
        """Return the constructor's arguments by annotation; ``None`` after noting that they cannot be given."""
        arguments: dict[str, object] = {}
        before = len(self._problems)
        takes_parameters = False
        for parameter in inspect.signature(kind, eval_str=True).parameters.values():
            wanted = parameter.annotation
            if wanted is PluginContext:
                arguments[parameter.name] = self._context(spec.ref)
            elif isinstance(wanted, type) and issubclass(wanted, PluginParams):
                takes_parameters = True
                raw = spec.parameters or {}
                arguments[parameter.name] = decode(wanted, raw, _join(path, "parameters"), self._problems)
            elif parameter.default is parameter.empty:
                message = (
                    f"constructor parameter `{parameter.name}` of `{spec.type}` must be annotated with PluginContext "
                    "or a PluginParams struct, or have a default"
                )
                self._problems.append(Problem(path, message))
        if spec.parameters and not takes_parameters:
            self._problems.append(Problem(_join(path, "parameters"), f"`{spec.type}` takes no parameters"))
        return arguments if len(self._problems) == before else None


@contextlib.contextmanager
def _among_parameters() -> Iterator[None]:
    """Complete the paths of a plugin's own problems: it knows where among its parameters something stands, no more."""
    try:
        yield
    except ConfigurationError as error:
        whole = [
            Problem(problem.path and _join("parameters", problem.path), problem.message) for problem in error.problems
        ]
        raise ConfigurationError(whole) from error


def _declared(plugin: object, name: str) -> Sequence[type[Attribute]]:
    declared: Sequence[type[Attribute]] = getattr(plugin, name, ())
    return declared


def _consumes_from(plugin: object) -> Mapping[type[Attribute], str]:
    named: Mapping[type[Attribute], str] = getattr(plugin, "consumes_from", {})
    return named


def _join(path: str, below: str) -> str:
    return f"{path}.{below}" if path and below else path or below
