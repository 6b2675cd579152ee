"""Routed requests for tests of the edge."""

from collections.abc import Sequence

from epp.director import Reporting, RoutedRequest
from epp.observability import Metrics
from epp.observability.lifecycle_guards import GuardedObserver
from epp.plugin import NOT_PARSED, Decision, Endpoint, InferenceRequest, ParsedBody
from epp.plugin.testing import make_context, make_endpoint
from tests.fakes.picker import not_counted

ENDPOINT = make_endpoint(address="10.0.0.7", port=8000)


def make_routed(
    *endpoints: Endpoint,
    rewrite: tuple[str, str] | None = None,
    parsed: bool = False,
    new_body: bytes = b"new",
    observers: GuardedObserver | None = None,
    headers: dict[str, str] | None = None,
    endpoint_header: str | None = None,
) -> RoutedRequest:
    """Return a request that goes to one endpoint; ``rewrite`` is the client's model and the one that it became."""
    client, served = rewrite or ("", "")
    request = InferenceRequest(
        request_id="id", head={}, parsed=ParsedBody(model=client) if client else NOT_PARSED, body_bytes=0, model=served
    )
    return RoutedRequest(
        request,
        Decision(endpoints=list(endpoints) or [ENDPOINT]),
        reporting=make_reporting(observers, endpoint_header=endpoint_header),
        is_parsed=parsed or bool(client),
        new_body=new_body if rewrite else None,
        headers=headers,
    )


def make_reporting(observers: GuardedObserver | None = None, *, endpoint_header: str | None = None) -> Reporting:
    """Return reporting that nobody listens to."""
    metrics = Metrics(make_context().metrics.registry)
    return Reporting(
        observers=observers or GuardedObserver(),
        metrics=metrics,
        clock=lambda: 0.0,
        take=not_counted,
        endpoint_header=endpoint_header,
    )


def no_endpoint(_subset: Sequence[str] | None) -> Endpoint | None:
    """Stand for a pool without a ready endpoint."""
    return None


def some_endpoint(_subset: Sequence[str] | None) -> Endpoint | None:
    """Stand for a pool with one endpoint, which is not the one of `make_routed`."""
    return make_endpoint("provisional", address="10.0.0.9", port=9)
