"""What requests are worth, and which model they are for: objectives and rewrites, of the file and of the cluster."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from epp.config import EndpointPickerConfig


@dataclass(frozen=True, slots=True)
class Target:
    """A model to ask for in place of the client's."""

    model: str
    weight: int | None = None
    """In proportion to the other targets'; one without is never drawn beside one with."""


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """Which models are rewritten, and to what."""

    models: frozenset[str]
    """As clients name them; empty: all that no other rule names."""
    targets: Sequence[Target]


@dataclass(frozen=True, slots=True)
class PolicySet:
    """What one source says."""

    priorities: Mapping[str, int]
    """By the objective's name."""
    rules: Sequence[RewriteRule]
    """Earlier ones first: of several for a model the first counts."""


NO_POLICIES = PolicySet({}, ())


def policies_of(config: EndpointPickerConfig) -> PolicySet:
    """Return what a configuration says."""
    return PolicySet(
        {objective.name: objective.priority for objective in config.inference_objectives},
        [
            RewriteRule(
                frozenset(match.model.value for match in rule.matches),
                [Target(target.model_rewrite, target.weight) for target in rule.targets],
            )
            for rule in config.model_rewrites
        ],
    )


class Policies:
    """The policies in use. What the cluster says comes before what the file says."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._of_file = NO_POLICIES
        self._of_cluster = NO_POLICIES
        self._use()

    def use_file(self, policies: PolicySet) -> None:
        """Take note of what the configuration says."""
        self._of_file = policies
        self._use()

    def use_cluster(self, policies: PolicySet) -> None:
        """Take note of what the API server says."""
        self._of_cluster = policies
        self._use()

    def priority_of(self, objective: str) -> int:
        """Return an objective's priority; 0 for one that is not known. Below 0: it can be done without."""
        return self._priorities.get(objective, 0)

    def target_of(self, model: str) -> str:
        """Return the model to ask for in place of the client's, drawn by weight; empty where no rule is for it.

        A rule that names the model comes before one for all.
        """
        rule = self._exact.get(model, self._generic) if model else None
        return "" if rule is None else self._draw(rule.targets)

    def _use(self) -> None:
        self._priorities = {**self._of_file.priorities, **self._of_cluster.priorities}
        rules = [*self._of_cluster.rules, *self._of_file.rules]
        self._exact = _first_by_model(rules)
        self._generic = next((rule for rule in rules if not rule.models), None)

    def _draw(self, targets: Sequence[Target]) -> str:
        weights = [target.weight or 0 for target in targets]
        if not any(weights):
            return self._random.choice(targets).model
        return self._random.choices(targets, weights)[0].model


def _first_by_model(rules: Iterable[RewriteRule]) -> Mapping[str, RewriteRule]:
    first: dict[str, RewriteRule] = {}
    for rule in rules:
        for model in rule.models:
            first.setdefault(model, rule)
    return first
