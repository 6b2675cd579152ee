"""Tests of the example, written as a plugin author would: with the builders of `epp.plugin.testing`."""

from epp.plugin.testing import make_endpoint, make_request
from label_value_scorer import LabelValueScorer, Params

LABEL = "example.com/preference"


def test_label_decides_the_rating() -> None:
    scorer = LabelValueScorer(Params(label=LABEL))
    candidates = [make_endpoint("slow", labels={LABEL: "0.1"}), make_endpoint("fast", labels={LABEL: "0.9"})]
    assert scorer.score(make_request(), candidates) == [0.1, 0.9]


def test_endpoint_without_a_usable_label_gets_the_missing_score() -> None:
    scorer = LabelValueScorer(Params(label=LABEL, missing_score=0.25))
    candidates = [make_endpoint("bare"), make_endpoint("odd", labels={LABEL: "very"})]
    assert scorer.score(make_request(), candidates) == [0.25, 0.25]
