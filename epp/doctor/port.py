"""The port between gateway and picker: where it leads, and which protocol gateways take it for."""

from epp.doctor.objects import DEFAULT_PICKER_PORT, PodSpec, place
from epp.doctor.picker import Picker, PickerService
from epp.doctor.verdict import FailedError, Found, Outcome

EXPECTED = {True: "http2", False: "kubernetes.io/h2c"}
"""What the charts set where the picker serves TLS, and where it does not. Istio takes ``http2`` for both."""
HTTP2 = frozenset({"http2", "grpc", "kubernetes.io/h2c", "https"})
PLAINTEXT = frozenset({"kubernetes.io/h2c"})
TLS = frozenset({"https"})
NAMES = ("grpc", "http2")
"""Beginnings of a port's name that Istio takes for the protocol."""


async def check_target(service: PickerService, picker: Picker) -> Found[None]:
    """Tell whether the Service leads to the port that the picker listens on."""
    listens = picker.spec.port("grpc-port", DEFAULT_PICKER_PORT)
    target = service.port.target_port or service.port.port
    number = _number(picker.spec, target)
    at = f"port {service.port.port} of {place(service.service)}"
    if number is None:
        raise FailedError(
            f"{at} leads to the port named `{target}`, and no container of the picker has one",
            _patch(service, "targetPort", str(listens)),
        )
    if number != listens:
        raise FailedError(
            f"{at} leads to {number} of the pods, and the picker listens on {listens} (--grpc-port)",
            _patch(service, "targetPort", str(listens)),
        )
    return Found(None, f"{at} leads to {number}, where the picker listens")


def _number(spec: PodSpec, target: int | str) -> int | None:
    if isinstance(target, int):
        return target
    return next((number for number, name in spec.ports.items() if name == target), None)


async def check_protocol(service: PickerService, picker: Picker) -> Found[None]:
    """Tell whether gateways will speak HTTP/2 to the picker, and TLS where it wants it."""
    said, is_secure = service.port.app_protocol, picker.spec.is_on("secure-serving", default=True)
    speaks = "TLS (--secure-serving is on)" if is_secure else "plaintext (--secure-serving=false)"
    at = f"port {service.port.port} of {place(service.service)}"
    advice = f"expected is `{EXPECTED[is_secure]}`: " + _patch(service, "appProtocol", f'"{EXPECTED[is_secure]}"')
    if said is None:
        name = service.port.name or ""
        if name.startswith(NAMES):
            return Found(None, f"no appProtocol, and the port's name `{name}` says it")
        message = f"{at} has no appProtocol: some gateways, Istio among them, then take it for TCP"
        return Found(None, message, advice, Outcome.WARN)
    if said not in HTTP2:
        raise FailedError(f"{at} has appProtocol `{said}`, and ext_proc is gRPC: it needs HTTP/2", advice)
    if (is_secure and said in PLAINTEXT) or (not is_secure and said in TLS):
        other = "--secure-serving=false" if is_secure else "--secure-serving"
        message = f"{at} has appProtocol `{said}`, and the picker speaks {speaks}"
        raise FailedError(message, f"{advice}; or start the picker with {other}")
    return Found(None, f"`{said}`, and the picker speaks {speaks}")


def _patch(service: PickerService, field: str, value: str) -> str:
    one = service.service.metadata
    index = next(i for i, port in enumerate(service.service.spec.ports or ()) if port is service.port)
    operation = f'[{{"op": "add", "path": "/spec/ports/{index}/{field}", "value": {value}}}]'
    return f"kubectl patch service {one.name} -n {one.namespace} --type=json -p '{operation}'"
