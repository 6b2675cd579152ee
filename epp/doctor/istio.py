"""What only Istio has: rules about TLS to the picker, and patches of its Envoys."""

from collections.abc import Sequence

from epp.doctor.objects import DestinationRule, EnvoyFilter, Gateway, place
from epp.doctor.picker import Picker, PickerService
from epp.doctor.reading import ISTIO, Reader, path_of
from epp.doctor.verdict import Found, Outcome, SkippedError

FILTERS, RULES = "envoyfilters", "destinationrules"
ROOT_NAMESPACE = "istio-system"
"""What is in it counts for all gateways."""


async def check_tls(reader: Reader, service: PickerService, picker: Picker, gateways: Sequence[Gateway]) -> Found[None]:
    """Tell whether Istio's gateways speak TLS to a picker that wants it: they do where a DestinationRule says so."""
    if not any("istio" in gateway.spec.gateway_class_name for gateway in gateways):
        raise SkippedError("no Gateway of a class of Istio")
    if not await reader.has(ISTIO, RULES):
        raise SkippedError(f"the cluster does not know DestinationRules of {ISTIO.removeprefix('/apis/')}")
    one, is_secure = service.service.metadata, picker.spec.is_on("secure-serving", default=True)
    names = [f"{one.name}.{one.namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")]
    rules = [
        rule
        for namespace in dict.fromkeys([one.namespace, *(gate.metadata.namespace for gate in gateways), ROOT_NAMESPACE])
        for rule in await reader.many(path_of(ISTIO, namespace, RULES), DestinationRule)
        if rule.spec.host in names or (rule.spec.host == one.name and rule.metadata.namespace == one.namespace)
    ]
    listed = ", ".join(dict.fromkeys(map(place, rules)))
    has_tls = any(rule.has_tls for rule in rules)
    if has_tls and not is_secure:
        message = f"DestinationRule {listed} says TLS, and the picker speaks plaintext (--secure-serving=false)"
        advice = f"start the picker with --secure-serving, or: kubectl edit destinationrule -n {one.namespace}"
        return Found(None, message, advice, Outcome.WARN)
    if is_secure and not has_tls:
        message = f"no DestinationRule says that {place(service.service)} speaks TLS: Istio will speak plaintext to it"
        advice = (
            f"make one for host {names[-1]} with trafficPolicy.tls: {{mode: SIMPLE, insecureSkipVerify: true}}, "
            "or start the picker with --secure-serving=false"
        )
        return Found(None, message, advice, Outcome.WARN)
    return Found(
        None, f"DestinationRule {listed} says TLS" if has_tls else "the picker speaks plaintext, as Istio does"
    )


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
