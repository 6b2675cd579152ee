"""Where a request goes so that a route takes it to the pool: address and port, host, path and headers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from epp.doctor.gateways import GATEWAY_LABEL
from epp.doctor.objects import Gateway, HTTPRoute, Listener, ParentRef, RouteMatch, ValueMatch, place
from epp.doctor.pool import Pool
from epp.doctor.reaching import joined
from epp.doctor.verdict import FailedError, Found

PATH = "/v1/completions"
PREFIX, EXACT = "PathPrefix", "Exact"
TYPES = ("HTTP", "HTTPS")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send a request."""

    url: str
    host: str | None = None
    """For the header ``host``: the route's; ``None``: as in the URL."""
    path: str = PATH
    headers: Mapping[str, str] = field(default_factory=dict)
    """That the route wants."""

    @property
    def description(self) -> str:
        """What is sent there, in words."""
        path = f" at {self.path}" if self.path != PATH else ""
        headers = f" with {', '.join(f'{name}: {value}' for name, value in self.headers.items())}"
        return f"{self.url}{f' for host {self.host}' if self.host else ''}{path}{headers if self.headers else ''}"


async def find_address(gateways: Sequence[Gateway], routes: Sequence[HTTPRoute], pool: Pool) -> Found[Address]:
    """Return an address of the first Gateway that has one, and of it a listener that a route attaches to."""
    for route, gateway, listener in _attached(gateways, routes):
        for one in gateway.status.addresses or ():
            if one.value:
                scheme = "https" if listener.protocol == "HTTPS" else "http"
                address = _for_route(f"{scheme}://{joined(one.value, listener.port)}", route, pool, listener)
                return Found(address, f"{address.description}, of {place(gateway)}")
    first = gateways[0].metadata
    if any(one.value for gateway in gateways for one in gateway.status.addresses or ()):
        raise FailedError(
            f"no listener of {', '.join(map(place, gateways))} is one that {', '.join(map(place, routes))} attaches to",
            f"sectionName, port and hostnames of the route have to fit: kubectl edit httproute "
            f"{routes[0].metadata.name} -n {routes[0].metadata.namespace}",
        )
    raise FailedError(
        f"{place(gateways[0])} has no address",
        f"a Service of type LoadBalancer waits for one: kubectl get services -n {first.namespace} -l "
        f"{GATEWAY_LABEL}={first.name}; or kubectl port-forward to it, and say --url",
    )


async def given_address(url: str, routes: Sequence[HTTPRoute], pool: Pool) -> Found[Address]:
    """Return the address that the command line gives."""
    address = _for_route(url, routes[0], pool, Listener()) if routes else Address(url)
    return Found(address, f"{address.description}, as --url says")


def _attached(
    gateways: Sequence[Gateway], routes: Sequence[HTTPRoute]
) -> Iterator[tuple[HTTPRoute, Gateway, Listener]]:
    """Return routes with their listeners, those for plaintext first."""
    for gateway in gateways:
        for route in routes:
            for ref in route.parents:
                if (ref.namespace or route.metadata.namespace, ref.name) == (
                    gateway.metadata.namespace,
                    gateway.metadata.name,
                ):
                    listeners = [one for one in gateway.spec.listeners or [Listener()] if _takes(one, ref, route)]
                    for listener in sorted(listeners, key=lambda one: one.protocol):
                        yield route, gateway, listener


def _takes(listener: Listener, ref: ParentRef, route: HTTPRoute) -> bool:
    """Tell whether a route may attach to a listener."""
    hosts = route.spec.hostnames
    return (
        listener.protocol in TYPES
        and ref.section_name in (None, listener.name)
        and ref.port in (None, listener.port)
        and (not hosts or not listener.hostname or any(_overlap(host, listener.hostname) for host in hosts))
    )


def _overlap(one: str, other: str) -> bool:
    """Tell whether two hosts, either of which may begin with ``*``, have any in common."""
    first, second = one.removeprefix("*"), other.removeprefix("*")
    return one == other or (one != first and second.endswith(first)) or (other != second and first.endswith(second))


def _for_route(url: str, route: HTTPRoute, pool: Pool, listener: Listener) -> Address:
    """Return an address of which a route takes requests to the pool."""
    matches = _matches(route, pool)
    match = next((one for one in matches if _path(one) == PATH), matches[0] if matches else RouteMatch())
    headers = {one.name: one.value for one in match.headers or () if one.type in (None, EXACT)}
    return Address(url, _host(route, listener), _path(match), headers)


def _matches(route: HTTPRoute, pool: Pool) -> Sequence[RouteMatch]:
    """Return what leads to the pool; of a route that does not lead there, everything."""
    rules = route.spec.rules or []
    leading = [rule for rule in rules if any(pool.is_backend(ref, route) for ref in rule.backend_refs or ())]
    return [match for rule in leading or rules for match in rule.matches or [RouteMatch()]]


def _path(match: RouteMatch) -> str:
    """Return the path of a completion under a prefix; an exact one as it is."""
    path = match.path or ValueMatch(value="/")
    if path.type == EXACT:
        return path.value
    prefix = path.value.rstrip("/")
    is_above = path.type not in (None, PREFIX) or f"{PATH}/".startswith(f"{prefix}/")
    return PATH if is_above else f"{prefix}{PATH}"


def _host(route: HTTPRoute, listener: Listener) -> str | None:
    """Return a host that a route is for; ``None``: for all."""
    hosts = [one for one in route.spec.hostnames or () if not listener.hostname or _overlap(one, listener.hostname)]
    # The longer of two is the narrower.
    host = max([*hosts[:1], listener.hostname or ""], key=len)
    return host.replace("*", "doctor") or None
