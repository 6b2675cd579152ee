"""Which profiles run, and what their picks mean together."""

import pytest

from epp.plugin import ConfigurationError, PrefixMatches, Rejection
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes.catalogue import assembled, labelled, plugin


@pytest.mark.parametrize(
    ("prompt_tokens", "matched", "parameters", "expected"),
    [
        pytest.param(1000, 0, {}, False, id="never by default"),
        pytest.param(1000, 0, {"nonCachedTokens": 500}, True, id="all of it is new"),
        pytest.param(1000, 600, {"nonCachedTokens": 500}, False, id="most of it is cached"),
        pytest.param(1000, 500, {"nonCachedTokens": 500}, True, id="just enough is new"),
        pytest.param(400, 0, {"nonCachedTokens": 500}, False, id="too short"),
        pytest.param(1000, 0, {"nonCachedTokens": 500, "promptTokens": 2000}, False, id="too short as a whole"),
    ],
)
def test_prefix_based_decider(prompt_tokens: int, matched: int, parameters: dict[str, int], expected: bool) -> None:  # noqa: FBT001 - a table
    decode, prefill = labelled("decode", "prefill", label="llm-d.ai/role")
    assembly = assembled(
        plugin("prefix-based-pd-decider", **parameters),
        plugin("disagg-profile-handler", deciders={"prefill": "prefix-based-pd-decider"}),
        plugin("decode-filter"),
        plugin("prefill-filter"),
        schedulingProfiles=[
            {"name": "decode", "plugins": [{"pluginRef": "decode-filter"}]},
            {"name": "prefill", "plugins": [{"pluginRef": "prefill-filter"}]},
        ],
    )
    request = make_request(prompts=[b"x" * prompt_tokens * 4])
    request.attach(PrefixMatches(matched_tokens={decode: matched}, total_tokens=prompt_tokens))
    decision = assembly.scheduler.schedule(request, [decode, prefill])
    assert decision.primary is decode
    assert (decision.prefill is prefill) is expected


@pytest.mark.parametrize("order", ["decode-first", "prefill-first"])
@pytest.mark.parametrize("has_media", [True, False])
def test_media_are_encoded_elsewhere(order: str, has_media: bool) -> None:  # noqa: FBT001 - a table
    endpoints = labelled("decode", "prefill", "encode", label="llm-d.ai/role")
    stages = ("decode", "prefill", "encode")
    assembly = assembled(
        plugin("always-disagg-multimodal-decider"),
        plugin("disagg-profile-handler", stageOrder=order, deciders={"encode": "always-disagg-multimodal-decider"}),
        *(plugin(f"{stage}-filter") for stage in stages),
        schedulingProfiles=[{"name": stage, "plugins": [{"pluginRef": f"{stage}-filter"}]} for stage in stages],
    )
    decision = assembly.scheduler.schedule(make_request(has_media=has_media), endpoints)
    assert (decision.primary, decision.prefill) == (endpoints[0], endpoints[1])
    assert ("x-encoder-hosts-ports" in decision.headers) is has_media


def test_decider_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no decider is named `nobody`"):
        assembled(plugin("disagg-profile-handler", deciders={"prefill": "nobody"}))


def test_header_names_the_profile() -> None:
    zone_a, zone_b = labelled("a", "b", label="zone")
    assembly = assembled(
        plugin("header-profile-handler", defaultProfile="a"),
        plugin("label-selector-filter", matchLabels={"zone": "a"}) | {"name": "in-a"},
        plugin("label-selector-filter", matchLabels={"zone": "b"}) | {"name": "in-b"},
        schedulingProfiles=[{"name": zone, "plugins": [{"pluginRef": f"in-{zone}"}]} for zone in "ab"],
    )
    for head, endpoint in (({}, zone_a), ({"epp-profile": "b"}, zone_b)):
        assert assembly.scheduler.schedule(make_request(head=head), [zone_a, zone_b]).primary is endpoint
    with pytest.raises(Rejection, match="header epp-profile names profile `c`; there are a, b"):
        assembly.scheduler.schedule(make_request(head={"epp-profile": "c"}), [zone_a, zone_b])


def test_ranks_are_reached_through_the_primary_port() -> None:
    rank = make_endpoint(port=8003)
    decision = assembled(plugin("data-parallel-profile-handler")).scheduler.schedule(make_request(), [rank])
    assert decision.destinations == ["10.0.0.1:8000"]
    assert decision.headers == {"x-data-parallel-host-port": "10.0.0.1:8003"}


def test_name_of_a_deciders_place_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\[0\]\.parameters\.deciders: "):
        assembled(plugin("disagg-profile-handler", deciders={"prefill": "nobody"}))


def test_decider_that_would_never_be_asked_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="every prompt is computed elsewhere"):
        assembled(plugin("disagg-profile-handler", stageOrder="prefill-first", deciders={"prefill": "x"}))


@pytest.mark.parametrize("order", ["decode-first", "prefill-first"])
def test_request_is_served_where_nobody_computes_prompts(order: str) -> None:
    (decode,) = labelled("decode", label="llm-d.ai/role")
    assembly = assembled(
        plugin("disagg-profile-handler", stageOrder=order),
        plugin("decode-filter"),
        plugin("prefill-filter"),
        schedulingProfiles=[
            {"name": "prefill", "plugins": [{"pluginRef": "prefill-filter"}]},
            {"name": "decode", "plugins": [{"pluginRef": "decode-filter"}]},
        ],
    )
    decision = assembly.scheduler.schedule(make_request(), [decode])
    assert (decision.primary, decision.prefill) == (decode, None)


def test_endpoint_that_served_is_known_by_the_port_that_gateways_use() -> None:
    rank = make_endpoint(port=8003)
    decision = assembled(plugin("data-parallel-profile-handler")).scheduler.schedule(make_request(), [rank])
    assert decision.named("10.0.0.1:8000") is rank
    assert decision.named("10.0.0.1:8003") is None
