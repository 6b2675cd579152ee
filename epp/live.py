"""What the configuration has made; a new one replaces it whole."""

from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from epp.assembled import Assembly, Surroundings
from epp.plugin import ConfigurationError, Endpoint
from epp.reloading import Changes, Workers
from epp.settings import Settings
from epp.starting import assemble, check_pool, config_text
from epp.workshop import reconnect


class LiveConfig:
    """The assembly in use.

    A plugin that a new configuration leaves as it is lives on, with all that it knows: the prefix index, sessions,
    connections. Load, requests in flight and the pool are not the configuration's, and survive in any case.
    """

    def __init__(self, settings: Settings, surroundings: Surroundings, log: FilteringBoundLogger) -> None:
        """Build what the settings name; raises `ConfigurationError`."""
        self._settings = settings
        self._surroundings = surroundings
        self._log = log
        self.text = config_text(settings)
        self.assembly = assemble(settings, surroundings, self.text)
        check_pool(settings, self.assembly.discovery)
        self._fixed = _fixed(self.assembly)
        self.workers = Workers()
        self._begin()

    def replace(self, text: str) -> Changes:
        """Use another configuration from now on; raises `ConfigurationError`, and then nothing has changed.

        Synchronous on purpose: a request is decided by one configuration or by the other.
        """
        # Tried on nothing that is alive: what plugins do when they are built must not reach those in use.
        tried = assemble(self._settings, self._surroundings.rehearsal(), text)
        check_pool(self._settings, tried.discovery)
        for name, built in self.assembly.built.items():
            if name in tried.built and tried.built[name].spec.type != built.spec.type:
                self._surroundings.plugin_metrics(name).forget()
        before = self.assembly
        try:
            self.assembly = assemble(self._settings, self._surroundings, text, alive=before.built)
        except ConfigurationError:
            reconnect(before.built)
            raise
        changes = _changes(before, self.assembly, fixed=self._fixed)
        for name in changes.removed:
            self._surroundings.plugin_metrics(name).forget()
        self._begin()
        return changes

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Tell the plugins in use that an endpoint's load was scraped."""
        self.assembly.observers.on_scraped(endpoint)

    def on_lost(self, endpoint: Endpoint) -> None:
        """Tell them that its process seems to be gone."""
        self.assembly.observers.on_endpoint_lost(endpoint)

    def on_removed(self, endpoint: Endpoint) -> None:
        """Tell them that it left the pool."""
        self.assembly.observers.on_endpoint_removed(endpoint)

    def _begin(self) -> None:
        for note in self.assembly.notes:
            self._log.warning("config_note", path=note.path, message=note.message)
        self.workers.use(self.assembly.workers)


def _changes(before: Assembly, after: Assembly, *, fixed: Sequence[object]) -> Changes:
    old, new = before.built, after.built
    old_profiles = {profile.name: profile for profile in before.config.scheduling_profiles}
    new_profiles = {profile.name: profile for profile in after.config.scheduling_profiles}
    names = sorted(old_profiles.keys() | new_profiles.keys())
    return Changes(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed=sorted(name for name in old.keys() & new.keys() if old[name] is not new[name]),
        profiles=[name for name in names if old_profiles.get(name) != new_profiles.get(name)],
        needs_restart=[] if fixed == _fixed(after) else ["dataLayer"],
    )


def _fixed(assembly: Assembly) -> Sequence[object]:
    """Return what the plugins are made of that find endpoints and fetch their load: they run from start to end."""
    specs = [assembly.built[name].spec for name in assembly.fixed]
    return [(spec.type, spec.parameters or {}) for spec in specs]
