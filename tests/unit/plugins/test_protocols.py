"""The built-in plugins are what the protocols say: the type checker reads this file as a plugin author's code."""

from collections.abc import Sequence

from epp.datalayer.file_discovery import FileDiscovery
from epp.datalayer.file_discovery import Params as FileParams
from epp.plugin import (
    Discovery,
    EndpointRemovedObserver,
    Parser,
    Picker,
    Producer,
    ProfileHandler,
    RoutedObserver,
    Scorer,
)
from epp.plugin.testing import make_context
from epp.workshop import Role
from epp_plugins.parsers.openai import OpenaiParser
from epp_plugins.pickers.choice import PickerParams
from epp_plugins.pickers.max_score import MaxScorePicker
from epp_plugins.pickers.random import RandomPicker
from epp_plugins.producers.approx_prefix_cache import ApproxPrefixCacheProducer, Params
from epp_plugins.profiles.single_profile import SingleProfileHandler
from epp_plugins.scorers.kv_cache_utilization import KvCacheUtilizationScorer
from epp_plugins.scorers.load_choice import LoadParams
from epp_plugins.scorers.prefix_cache import Params as PrefixParams
from epp_plugins.scorers.prefix_cache import PrefixCacheScorer
from epp_plugins.scorers.queue import QueueScorer


def test_built_in_plugins_have_all_members_of_their_roles() -> None:
    context = make_context()
    producer = ApproxPrefixCacheProducer(Params(), context)
    scorers: list[Scorer] = [
        QueueScorer(LoadParams()),
        KvCacheUtilizationScorer(LoadParams()),
        PrefixCacheScorer(PrefixParams()),
    ]
    pickers: list[Picker] = [MaxScorePicker(PickerParams(), context), RandomPicker(PickerParams(), context)]
    handlers: list[ProfileHandler] = [SingleProfileHandler()]
    parsers: list[Parser] = [OpenaiParser()]
    producers: list[Producer] = [producer]
    routed: list[RoutedObserver] = [producer]
    removed: list[EndpointRemovedObserver] = [producer]
    discoveries: list[Discovery] = [FileDiscovery(FileParams(path="endpoints.yaml"), context)]
    by_role: dict[Role, Sequence[object]] = {
        Role.SCORER: scorers,
        Role.PICKER: pickers,
        Role.PROFILE_HANDLER: handlers,
        Role.PARSER: parsers,
        Role.PRODUCER: producers,
        Role.ROUTED_OBSERVER: routed,
        Role.ENDPOINT_REMOVED_OBSERVER: removed,
        Role.DISCOVERY: discoveries,
    }
    for role, plugins in by_role.items():
        for plugin in plugins:
            assert [member for member in role.members if not hasattr(plugin, member)] == []
