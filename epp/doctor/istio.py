"""What only Istio has: rules about TLS to the picker, and patches of its Envoys."""

from collections.abc import Sequence

from epp.doctor.istio_objects import DestinationRule, EnvoyFilter, Tls
from epp.doctor.objects import Gateway, place
from epp.doctor.picker import Picker, PickerService
from epp.doctor.reading import ISTIO, Reader, path_of
from epp.doctor.verdict import Found, Outcome, SkippedError

FILTERS, RULES = "envoyfilters", "destinationrules"
ROOT_NAMESPACE = "istio-system"
"""What is in it counts for all gateways."""
INSECURE = "trafficPolicy.tls: {mode: SIMPLE, insecureSkipVerify: true}"


async def check_tls(reader: Reader, service: PickerService, picker: Picker, gateways: Sequence[Gateway]) -> Found[None]:
    """Tell whether Istio's gateways speak TLS to a picker that wants it: they do where a DestinationRule says so."""
    if not any("istio" in gateway.spec.gateway_class_name for gateway in gateways):
        raise SkippedError("no Gateway of a class of Istio")
    if not await reader.has(ISTIO, RULES):
        raise SkippedError(f"the cluster does not know DestinationRules of {ISTIO.removeprefix('/apis/')}")
    rule, is_secure = await _rule(reader, service, gateways), picker.spec.is_on("secure-serving", default=True)
    tls = Tls() if rule is None else rule.tls(service.port.port)
    if rule is None or tls.mode == "DISABLE":
        return _without_tls(service) if is_secure else Found(None, "the picker speaks plaintext, as Istio does")
    advice = f"kubectl edit destinationrule {rule.metadata.name} -n {rule.metadata.namespace}"
    said = f"DestinationRule {place(rule)} says"
    if not is_secure:
        message = f"{said} TLS, and the picker speaks plaintext (--secure-serving=false)"
        return Found(None, message, f"start the picker with --secure-serving, or: {advice}", Outcome.WARN)
    if tls.mode == "ISTIO_MUTUAL":
        message = f"{said} ISTIO_MUTUAL: Istio takes its own certificates alone, and the picker has none of them"
        return Found(None, message, f"it has to say {INSECURE}: {advice}", Outcome.WARN)
    if not tls.insecure_skip_verify and picker.spec.flag("cert-path") is None:
        message = f"{said} {tls.mode} without insecureSkipVerify: Istio may refuse the picker's self-signed certificate"
        return Found(None, message, f"it has to say {INSECURE}, or give the picker --cert-path: {advice}", Outcome.WARN)
    return Found(None, f"{said} TLS")


def _without_tls(service: PickerService) -> Found[None]:
    message = f"no DestinationRule says that {place(service.service)} speaks TLS: Istio will speak plaintext to it"
    advice = f"make one for host {_names(service)[0]} with {INSECURE}, or start the picker with --secure-serving=false"
    return Found(None, message, advice, Outcome.WARN)


async def _rule(reader: Reader, service: PickerService, gateways: Sequence[Gateway]) -> DestinationRule | None:
    """Return the rule that counts: the gateway's namespace comes first, and a longer host before a wildcard."""
    home = service.service.metadata.namespace
    for namespace in dict.fromkeys([*(gate.metadata.namespace for gate in gateways), home, ROOT_NAMESPACE]):
        rules = await reader.many(path_of(ISTIO, namespace, RULES), DestinationRule)
        if matching := [rule for rule in rules if _is_for(rule, service)]:
            return max(matching, key=lambda rule: (not rule.spec.host.startswith("*"), len(rule.spec.host)))
    return None


def _is_for(rule: DestinationRule, service: PickerService) -> bool:
    one, host, names = service.service.metadata, rule.spec.host, _names(service)
    if host.startswith("*"):
        return names[0].endswith(host[1:])
    return host in names or (host == one.name and rule.metadata.namespace == one.namespace)


def _names(service: PickerService) -> Sequence[str]:
    """Return what the Service is called, in full first."""
    one = service.service.metadata
    return [f"{one.name}.{one.namespace}{end}" for end in (".svc.cluster.local", ".svc", "")]


async def find_filters(reader: Reader, namespaces: Sequence[str]) -> Found[Sequence[EnvoyFilter]]:
    """Return Istio's EnvoyFilters that have to do with ext_proc."""
    if not await reader.has(ISTIO, FILTERS):
        raise SkippedError("no Istio: the cluster does not know EnvoyFilters")
    by_place = dict[str, EnvoyFilter]()
    for namespace in dict.fromkeys([*namespaces, ROOT_NAMESPACE]):
        filters = await reader.many(path_of(ISTIO, namespace, FILTERS), EnvoyFilter)
        by_place |= {place(one): one for one in filters if b"ext_proc" in bytes(one.spec)}
    found = list(by_place.values())
    if not found:
        return Found(found, "none about ext_proc, and none is needed: every body mode of Istio works")
    listed = ", ".join(map(place, found))
    return Found(found, f"{listed}: about ext_proc, so body mode and picker are as they say")
