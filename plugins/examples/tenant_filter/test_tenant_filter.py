"""Tests of the example, written as a plugin author would: with the builders of `epp.plugin.testing`."""

import pytest

from epp.plugin import Endpoint
from epp.plugin.testing import make_endpoint, make_request
from tenant_filter import Params, TenantFilter

LABEL = "example.com/tenant"
BLUE = make_endpoint("blue-1", labels={LABEL: "blue"})
RED = make_endpoint("red-1", labels={LABEL: "red"})
SHARED = make_endpoint("shared-1")


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        pytest.param({"x-tenant": "blue"}, [BLUE], id="a tenant has its own"),
        pytest.param({}, [BLUE, RED, SHARED], id="no tenant"),
        pytest.param({"x-tenant": ""}, [BLUE, RED, SHARED], id="empty header"),
        pytest.param({"x-tenant": "green"}, [BLUE, RED, SHARED], id="a tenant without endpoints"),
    ],
)
def test_header_decides_which_endpoints_stay(head: dict[str, str], kept: list[Endpoint]) -> None:
    assert TenantFilter(Params()).filter(make_request(head=head), [BLUE, RED, SHARED]) == kept


def test_header_and_label_can_be_chosen_and_the_headers_case_does_not_matter() -> None:
    one = TenantFilter(Params(header="X-Team", label="team"))
    team = make_endpoint("team-1", labels={"team": "a"})
    assert one.filter(make_request(head={"x-team": "a"}), [BLUE, team]) == [team]
