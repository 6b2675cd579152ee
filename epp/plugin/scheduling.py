"""The scheduling cycle: filters remove candidates, scorers rate them, a picker chooses.

Everything here is synchronous: no ``await`` stands between reading the endpoints' load and the pick, so a plugin sees
one consistent picture and needs no lock.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from epp.plugin.endpoint import Endpoint
from epp.plugin.request import InferenceRequest


class Filter(Protocol):
    """Removes candidates."""

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates that stay, in any order. Empty: the request is rejected with 429.

        May refuse the request with a `Rejection` of its own.
        """
        ...


class Scorer(Protocol):
    """Rates candidates.

    One that rates endpoints by their numbers says so in an attribute ``rates``: names of `Load`'s members, and
    ``in_flight``. ``epp check-config`` then knows whether a profile looks at load, and whether an engine tells it.
    One whose numbers cannot be outside 0..1, whatever it is given, may say so in an attribute ``is_bounded``: they are
    not looked at one by one then.
    """

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        """Return one number for each candidate, in their order, 0 (worst) to 1 (best). Others are clamped."""
        ...


class Picker(Protocol):
    """Chooses."""

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return the chosen candidates, the primary first. ``totals`` are the weighted sums, in their order."""
        ...


class ScoreColumn(Struct, frozen=True, gc=False, kw_only=True):
    """One scorer's ratings of the candidates, in their order, each 0..1, before the weight."""

    scorer: str
    weight: float
    scores: Sequence[float]


class Removal(Struct, frozen=True, gc=False):
    """Candidates that were not rated."""

    by: str
    """The filter's name; ``in play`` for those that are avoided for their failures, or new and had no turn."""
    endpoints: Sequence[Endpoint]


TABLE_COLUMNS = frozenset({"endpoint", "total"})
"""Of `ProfileResult.table`, beside the scorers."""


class ProfileResult(Struct, frozen=True, gc=False, kw_only=True):
    """What one run of a profile found."""

    profile: str
    removed: Sequence[Removal] = ()
    """In the order in which it happened."""
    candidates: Sequence[Endpoint]
    """Those that the filters left."""
    columns: Sequence[ScoreColumn]
    totals: Sequence[float]
    picked: Sequence[Endpoint]
    """A tuple: a handler that wants another order or others makes its own."""

    def table(self) -> list[dict[str, str | float]]:
        """One row for each candidate, best first: its name, each scorer's rating and the weighted total."""
        rows = [
            {"endpoint": endpoint.key}
            | {column.scorer: round(column.scores[i], 4) for column in self.columns}
            | {"total": round(self.totals[i], 4)}
            for i, endpoint in enumerate(self.candidates)
        ]
        return sorted(rows, key=lambda row: -float(row["total"]))


class Decision(Struct, frozen=True, gc=False, kw_only=True):
    """Where a request goes: the primary endpoint first, then fallbacks in order."""

    endpoints: Sequence[Endpoint]
    results: Mapping[str, ProfileResult] = field(default_factory=dict)
    prefill: Endpoint | None = None
    """Computes the prompt for the primary endpoint; ``None``: that does it itself."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Set on the request, for whoever coordinates the endpoints."""
    port: int | None = None
    """Where the gateway connects in place of the endpoints' own ports: something there passes the request on."""

    def __post_init__(self) -> None:
        """Refuse a decision for nobody; raises `ValueError`."""
        if not self.endpoints:
            raise ValueError("a decision needs at least one endpoint")

    @property
    def primary(self) -> Endpoint:
        """The endpoint that should serve the request."""
        return self.endpoints[0]

    @property
    def destinations(self) -> Sequence[str]:
        """``ip:port`` of each endpoint, as the gateway should connect to it; IPv6 in brackets."""
        return list(dict.fromkeys(map(self._destination, self.endpoints)))

    def named(self, host_port: str | None) -> Endpoint | None:
        """Return the endpoint of this ``ip:port``, such as the one that has served; ``None``: it is none of them."""
        return next((endpoint for endpoint in self.endpoints if self._destination(endpoint) == host_port), None)

    def _destination(self, endpoint: Endpoint) -> str:
        if self.port is None:
            return endpoint.host_port
        return f"{endpoint.host_port.rpartition(':')[0]}:{self.port}"


class ProfileHandler(Protocol):
    """Decides which profiles run, and what their results mean together.

    A handler that can only do with a few profiles says so in a class attribute ``max_profiles``: more in the
    configuration are then an error at start. One that can do without some says so in an attribute
    ``optional_profiles``: when one of these leaves no endpoint, the others decide.
    """

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profiles to run next, given the results so far. May refuse the request.

        Called until it names none that has not run yet, or all have.
        """
        ...

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Turn the results into the decision. Called once, after the last profile."""
        ...


class Decider(Protocol):
    """Says whether a part of the work on a request is worth doing elsewhere; `disagg-profile-handler` asks it."""

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        """Tell whether it is; ``decode`` would do it otherwise, and is ``None`` where that is not chosen yet."""
        ...
