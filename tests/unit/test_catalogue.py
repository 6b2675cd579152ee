"""``epp plugins``: what a class is and what it can be told, found out without building it."""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from msgspec import Meta

from epp.catalogue import Form, catalogue, description, plugin_types, roles_of
from epp.parameters import parameters_of
from epp.plugin import (
    ConfigurationError,
    Endpoint,
    FlowControlPolicy,
    InferenceRequest,
    ParsedBody,
    PluginContext,
    PluginParams,
)
from epp.registry import Registry


class Rule(PluginParams):
    label: str
    """What it is about."""
    within: "list[Rule] | None" = None


class Limits(PluginParams):
    most_waiting: Annotated[int, Meta(ge=1)] = 4
    """Beyond, nobody
    is sent there."""
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Inherited(PluginParams):
    enabled: bool = False
    """Whether at all."""


class Params(Inherited, kw_only=True):
    name: str
    """Where it goes."""
    limits: Limits = msgspec.field(default_factory=lambda: Limits(most_waiting=8))
    rules: list[Rule] = msgspec.field(default_factory=list)
    order: Literal["fast", "slow"] | None = None
    weights: dict[str, float] = msgspec.field(default_factory=dict)


class FussyScorer:
    """Rates
    by rules.

    The rest is for those who read on.
    """

    def __init__(self, params: Params, context: PluginContext) -> None:
        raise AssertionError("it is not to be built")

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        return [0.0] * len(candidates)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget it."""


class LateParser:
    """Has its paths once it is built."""

    paths: Sequence[str]

    def parse(self, path: str, body: bytes) -> ParsedBody:
        return ParsedBody(model="")


class Decider:
    """Says no."""

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        return False


class Policy:
    """Orders."""

    flow_control_policy: ClassVar[FlowControlPolicy] = FlowControlPolicy.ORDERING


class Nothing:
    """Does nothing."""


NOT_A_CLASS = "text"


class Misspelt:
    """Its constructor asks for what there is not."""

    def __init__(self, params: "Parms") -> None:  # type: ignore[name-defined] # noqa: F821 - the point
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    """Types of this module, and some that cannot be imported."""
    monkeypatch.setitem(sys.modules, "catalogued", sys.modules[__name__])
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lacking.py").write_text("raise ImportError('it needs the extra\\ncheese')")
    (tmp_path / "broken.py").write_text("1 / 0")
    types = {
        "fussy-scorer": "catalogued:FussyScorer",
        "nothing": "catalogued:Nothing",
        "text": "catalogued:NOT_A_CLASS",
    }
    types |= {"lacking": "lacking:Any", "broken": "broken:Any", "misspelt": "catalogued:Misspelt"}
    yield Registry(EntryPoint(name, value, "epp.plugins") for name, value in types.items())
    for module in ("lacking", "broken"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        pytest.param(FussyScorer, ["scorer", "observer of endpoints"], id="methods"),
        pytest.param(LateParser, ["parser"], id="an attribute that only instances have"),
        pytest.param(Decider, ["decider"], id="decider"),
        pytest.param(Policy, ["ordering policy"], id="policy"),
        pytest.param(Nothing, [], id="nothing"),
    ],
)
def test_class_tells_what_its_plugins_are(kind: type, roles: list[str]) -> None:
    assert roles_of(kind) == roles


def test_type_that_cannot_be_imported_is_listed_with_the_reason(registry: Registry) -> None:
    problems = {one.type: one.problem for one in plugin_types(registry)}
    assert problems == {
        "broken": "cannot be loaded: ZeroDivisionError('division by zero')",
        "fussy-scorer": None,
        "lacking": "cannot be loaded: it needs the extra cheese",
        "misspelt": None,
        "nothing": None,
        "text": "plugin type `text` (catalogued:NOT_A_CLASS) is not a class",
    }


def test_list_has_a_line_for_each_type_and_a_dash_for_what_is_unknown(registry: Registry) -> None:
    lines = catalogue(registry, None, Form.TABLE).splitlines()
    assert lines[:3] == [
        "TYPE          FROM  IS A",
        "broken        -     cannot be loaded: ZeroDivisionError('division by zero')",
        "fussy-scorer  -     scorer, observer of endpoints",
    ]
    assert "nothing       -     -" in lines


def test_installed_types_say_which_distribution_they_are_of() -> None:
    own = {one.distribution for one in plugin_types(Registry.installed()) if one.class_path.startswith("epp")}
    assert own == {"endpoint-picker"}


def test_description_has_the_first_paragraph_and_every_parameter(registry: Registry) -> None:
    found = description(registry, "fussy-scorer")
    assert found.doc == "Rates by rules."
    rows = [(one.name, one.type, "required" if one.required else one.default, one.doc) for one in found.parameters]
    assert rows == [
        ("enabled", "boolean", False, "Whether at all."),
        ("name", "string", "required", "Where it goes."),
        ("limits", "mapping", {}, ""),
        ("limits.mostWaiting", "integer >= 1", 8, "Beyond, nobody is sent there."),
        ("limits.share", "number > 0 <= 1", 1.0, ""),
        ("rules", "list of mapping", [], ""),
        ("rules[].label", "string", "required", "What it is about."),
        ("rules[].within", "list of mapping", None, ""),
        ("order", "fast | slow", None, ""),
        ("weights", "mapping of number", {}, ""),
    ]


def test_page_of_one_type_is_readable(registry: Registry) -> None:
    assert catalogue(registry, "nothing", Form.TABLE) == (
        "type: nothing\nis a: -\nclass: catalogued:Nothing\nfrom: -\n\nDoes nothing.\n\nIt takes no parameters."
    )
    assert "order               fast | slow        null\n" in catalogue(registry, "fussy-scorer", Form.TABLE)


def test_programs_get_the_same_as_json(registry: Registry) -> None:
    listed: list[dict[str, Any]] = json.loads(catalogue(registry, None, Form.JSON))
    one: dict[str, Any] = json.loads(catalogue(registry, "fussy-scorer", Form.JSON))
    assert [each["type"] for each in listed] == sorted(registry.types)
    assert one["roles"] == ["scorer", "observer of endpoints"]
    assert one["class"] == "catalogued:FussyScorer"
    assert one["parameters"][1] == {
        "name": "name", "type": "string", "default": None, "required": True, "doc": "Where it goes.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("fusy-scorer", "`fusy-scorer` is not installed; did you mean `fussy-scorer`?", id="unknown"),
        pytest.param("models-data-source", "of the Go pickers would fetch what no plugin here reads", id="left out"),
        pytest.param("broken", "plugin type `broken` cannot be loaded: ZeroDivisionError", id="broken"),
        pytest.param("misspelt", "the parameters of `misspelt` cannot be told: name 'Parms'", id="odd constructor"),
    ],
)
def test_type_that_cannot_be_shown_is_an_error_that_says_why(registry: Registry, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=r".") as caught:
        description(registry, name)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted(Registry.installed().types))
def test_every_installed_type_can_be_shown(name: str) -> None:
    found = description(Registry.installed(), name)
    assert found.doc
    assert len({one.name for one in found.parameters}) == len(found.parameters)


def test_struct_whose_source_is_not_at_hand_has_parameters_without_explanations() -> None:
    struct = msgspec.defstruct("Unwritten", [("port", int, 80)])
    assert [(one.name, one.default, one.doc) for one in parameters_of(struct)] == [("port", 80, "")]
