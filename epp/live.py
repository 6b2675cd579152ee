"""What the configuration has made; a new one replaces it whole."""

from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from epp.assembled import Surroundings
from epp.changes import changes_between, fixed_parts
from epp.plugin import Endpoint
from epp.reloading import Changes, Workers
from epp.settings import Settings
from epp.starting import assemble, check_pool, config_text, first_assembly
from epp.workshop import Built, reconnect


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
        self.assembly = first_assembly(settings, surroundings, self.text)
        check_pool(settings, self.assembly.discovery)
        self._running = fixed_parts(self.assembly)
        self.workers = Workers()
        self._begin()

    def replace(self, text: str) -> Changes:
        """Use another configuration from now on; raises `ConfigurationError`, and then nothing has changed.

        Synchronous on purpose: a request is decided by one configuration or by the other.
        """
        # Tried on nothing that is alive: what plugins do when they are built must not reach those in use.
        tried = assemble(self._settings, self._surroundings.rehearsal(), text)
        check_pool(self._settings, tried.discovery)
        before, restore_metrics = self.assembly, self._surroundings.restoring_metrics()
        try:
            self._forget_all_but(tried.built)
            self.assembly = assemble(self._settings, self._surroundings, text, alive=before.built)
        except BaseException:
            restore_metrics()
            reconnect(before.built, metrics=self._surroundings.metrics, log=self._log)
            raise
        self._begin()
        return changes_between(before, self.assembly, running=self._running)

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Tell the plugins in use that an endpoint's load was scraped."""
        self.assembly.observers.on_scraped(endpoint)

    def on_lost(self, endpoint: Endpoint) -> None:
        """Tell them that its process seems to be gone."""
        self.assembly.observers.on_endpoint_lost(endpoint)

    def on_removed(self, endpoint: Endpoint) -> None:
        """Tell them that it left the pool."""
        self.assembly.observers.on_endpoint_removed(endpoint)

    def _forget_all_but(self, built: Mapping[str, Built]) -> None:
        """Export nothing any more of plugins that these would replace or leave out: the new ones begin at 0."""
        for name, old in self.assembly.built.items():
            if name not in built or not old.is_made_of(built[name].spec):
                self._surroundings.plugin_metrics(name).forget()

    def _begin(self) -> None:
        for note in self.assembly.notes:
            self._log.warning("config_note", path=note.path, message=note.message)
        self.workers.use(self.assembly.workers)
