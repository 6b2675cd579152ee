"""The public API: what a plugin sees of the picker, and the only package that a plugin may import.

A plugin is a plain class. What it does follows from the methods it has; there is no base class to inherit and no
registration call. It is published under a type name in the entry-point group ``epp.plugins``::

    [project.entry-points."epp.plugins"]
    shortest-name-scorer = "my_package.my_module:ShortestNameScorer"

and named in the configuration by that type. Its constructor takes what it needs by annotation: a parameter annotated
with a subclass of `PluginParams` receives the plugin's ``parameters`` from the configuration, checked; one annotated
with `PluginContext` receives the clock, the random numbers and the logger. Both are optional::

    class ShortestNameScorer:
        def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
            shortest = min(len(endpoint.name) for endpoint in candidates)
            return [shortest / len(endpoint.name) for endpoint in candidates]

`epp.plugin.scheduling` has the protocols of the scheduling cycle (filter, scorer, picker, profile handler),
`epp.plugin.lifecycle` those around it (parser, producer, observers, discovery), `epp.plugin.sources` those that know an
endpoint's load (data source, extractor), `epp.plugin.attributes` the typed values that producers attach to a request.
A plugin with a method ``run_in_background`` works beside the requests too: there it opens and closes its connections.
What a plugin reads of others' attributes it names in ``consumes``, what it attaches in ``produces``.
`epp.plugin.testing` builds endpoints and requests for an author's tests.

The names of these methods belong to the picker: a class that has all methods of a protocol is that kind of plugin,
so give helpers other names, or a leading underscore.

A plugin that raises is contained: the failure is logged and counted under its name and the request goes on without it.
To refuse a request on purpose, a filter, producer or parser raises `Rejection`.
"""

from epp.plugin.attributes import (
    Attribute,
    LatencyPredictions,
    OutputEstimate,
    PeerEndpoint,
    PrefixMatches,
    PromptTokens,
    TokenizedPrompt,
)
from epp.plugin.context import PluginContext
from epp.plugin.endpoint import Adapters, Endpoint, EndpointSpec, InFlight, Load
from epp.plugin.errors import ConfigurationError, DropReason, Problem, Refusal, Rejection
from epp.plugin.flow import FlowControlPolicy, SaturationDetector
from epp.plugin.lifecycle import (
    Admitter,
    BackgroundWorker,
    Connected,
    Discovery,
    DoneObserver,
    EndpointLostObserver,
    EndpointRemovedObserver,
    Parser,
    Producer,
    ResponseHeadObserver,
    RoutedObserver,
    ScrapedObserver,
)
from epp.plugin.metrics import PluginMetrics
from epp.plugin.params import PluginParams, parse_duration, read_duration
from epp.plugin.request import NOT_PARSED, InferenceRequest, ParsedBody
from epp.plugin.response import Response, Usage
from epp.plugin.scheduling import (
    Decider,
    Decision,
    Filter,
    Picker,
    ProfileHandler,
    ProfileResult,
    Removal,
    ScoreColumn,
    Scorer,
)
from epp.plugin.sources import DataSource, Extractor, Fetch, FetchError, Reading, Sign

__all__ = [
    "NOT_PARSED",
    "Adapters",
    "Admitter",
    "Attribute",
    "BackgroundWorker",
    "ConfigurationError",
    "Connected",
    "DataSource",
    "Decider",
    "Decision",
    "Discovery",
    "DoneObserver",
    "DropReason",
    "Endpoint",
    "EndpointLostObserver",
    "EndpointRemovedObserver",
    "EndpointSpec",
    "Extractor",
    "Fetch",
    "FetchError",
    "Filter",
    "FlowControlPolicy",
    "InFlight",
    "InferenceRequest",
    "LatencyPredictions",
    "Load",
    "OutputEstimate",
    "ParsedBody",
    "Parser",
    "PeerEndpoint",
    "Picker",
    "PluginContext",
    "PluginMetrics",
    "PluginParams",
    "PrefixMatches",
    "Problem",
    "Producer",
    "ProfileHandler",
    "ProfileResult",
    "PromptTokens",
    "Reading",
    "Refusal",
    "Rejection",
    "Removal",
    "Response",
    "ResponseHeadObserver",
    "RoutedObserver",
    "SaturationDetector",
    "ScoreColumn",
    "Scorer",
    "ScrapedObserver",
    "Sign",
    "TokenizedPrompt",
    "Usage",
    "parse_duration",
    "read_duration",
]
