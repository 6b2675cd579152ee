"""The two plugins that the gateway conformance suite needs."""

import pytest

from epp.plugin import Decision, Response
from epp.plugin.testing import make_endpoint, make_request
from epp_plugins.filters.header_based_testing import HeaderBasedTestingFilter
from epp_plugins.observers.destination_endpoint_served_verifier import DestinationEndpointServedVerifier

ONE = make_endpoint("one", address="10.0.0.1", port=3000)
RANK = make_endpoint("rank", address="10.0.0.1", port=3002)
SIX = make_endpoint("six", address="fd00::1", port=3000)
POOL = [ONE, RANK, SIX]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        pytest.param(None, POOL, id="absent"),
        pytest.param("10.0.0.1", [ONE, RANK], id="address: all its ports"),
        pytest.param("10.0.0.1:3002", [RANK], id="address and port"),
        pytest.param("fd00::1, 10.0.0.1:3000", [SIX, ONE], id="several, in their order"),
        pytest.param("[fd00::1]:3000", [SIX], id="IPv6 with a port"),
        pytest.param("fd00:0:0:0:0:0:0:1", [SIX], id="IPv6 written at length"),
        pytest.param("10.9.9.9", [], id="strict: none of them is here"),
        pytest.param("nonsense", [], id="nonsense"),
        pytest.param("", [], id="empty"),
    ],
)
def test_header_says_which_endpoints_stay(header: str | None, kept: list[object]) -> None:
    head = {} if header is None else {"test-epp-endpoint-selection": header}
    assert list(HeaderBasedTestingFilter().filter(make_request(head=head), POOL)) == kept


def test_served_endpoint_is_copied_into_a_response_header() -> None:
    def headers(served_by: str | None) -> object:
        verifier = DestinationEndpointServedVerifier()
        return verifier.on_response_head(make_request(), Decision(endpoints=[ONE]), Response(served_by=served_by))

    assert headers("10.0.0.1:3000") == {"x-conformance-test-served-endpoint": "10.0.0.1:3000"}
    assert headers(None) == {
        "x-conformance-test-served-endpoint": "fail: the gateway did not report who served the request"
    }
