"""What ``epp doctor`` says of Istio's TLS to the picker."""

import pytest

from epp.doctor.verdict import Outcome, Row
from tests.fakes.breaking import (
    GATES,
    Break,
    picker_args,
    row_of,
    without,
)
from tests.fakes.doctor_cluster import ISTIO, DoctorCluster
from tests.fakes.kube_api import Json

INSECURE = {"mode": "SIMPLE", "insecureSkipVerify": True}
NO_TLS = "no DestinationRule says that models/llama-epp speaks TLS: Istio will speak plaintext to it"
NO_TLS_ADVICE = (
    "make one for host llama-epp.models.svc.cluster.local with trafficPolicy.tls: {mode: SIMPLE, "
    "insecureSkipVerify: true}, or start the picker with --secure-serving=false"
)


def both(*changes: Break) -> Break:
    return lambda cluster: [change(cluster) for change in changes]


def tls_of_rule(policy: Json, **more: str) -> Break:
    spec = {"trafficPolicy": policy, **more}
    return lambda cluster: cluster.change(f"{ISTIO}/destinationrules", "llama-epp")["spec"].update(spec)


ISTIO_CASES = [
    pytest.param(
        without(f"{ISTIO}/destinationrules", "llama-epp"),
        *("istio tls", Outcome.WARN),
        NO_TLS,
        NO_TLS_ADVICE,
        id="no rule",
    ),
    pytest.param(
        picker_args("--secure-serving=false"),
        *("istio tls", Outcome.WARN),
        "DestinationRule models/llama-epp says TLS, and the picker speaks plaintext (--secure-serving=false)",
        "start the picker with --secure-serving, or: kubectl edit destinationrule llama-epp -n models",
        id="needless rule",
    ),
    pytest.param(
        tls_of_rule({"tls": {"mode": "ISTIO_MUTUAL"}}),
        *("istio tls", Outcome.WARN),
        "DestinationRule models/llama-epp says ISTIO_MUTUAL: Istio takes its own certificates alone, and the picker "
        "has none of them",
        "it has to say trafficPolicy.tls: {mode: SIMPLE, insecureSkipVerify: true}: kubectl edit destinationrule "
        "llama-epp -n models",
        id="Istio's own certificates",
    ),
    pytest.param(
        tls_of_rule({"tls": {"mode": "SIMPLE"}}),
        *("istio tls", Outcome.WARN),
        "DestinationRule models/llama-epp says SIMPLE without insecureSkipVerify: Istio may refuse the picker's "
        "self-signed certificate",
        "it has to say trafficPolicy.tls: {mode: SIMPLE, insecureSkipVerify: true}, or give the picker --cert-path: "
        "kubectl edit destinationrule llama-epp -n models",
        id="verified",
    ),
    pytest.param(
        both(tls_of_rule({"tls": {"mode": "SIMPLE"}}), picker_args("--cert-path=/certs")),
        *("istio tls", Outcome.PASS, "DestinationRule models/llama-epp says TLS", ""),
        id="verified with a certificate",
    ),
    pytest.param(
        tls_of_rule({"portLevelSettings": [{"port": {"number": 9090}, "tls": INSECURE}]}),
        *("istio tls", Outcome.WARN, NO_TLS, NO_TLS_ADVICE),
        id="TLS of another port",
    ),
    pytest.param(
        tls_of_rule({"tls": INSECURE, "portLevelSettings": [{"port": {"number": 9002}}]}),
        *("istio tls", Outcome.WARN, NO_TLS, NO_TLS_ADVICE),
        id="port without TLS",
    ),
    pytest.param(
        tls_of_rule({"portLevelSettings": [{"port": {"number": 9002}, "tls": INSECURE}]}),
        *("istio tls", Outcome.PASS, "DestinationRule models/llama-epp says TLS", ""),
        id="TLS of the port",
    ),
    pytest.param(
        tls_of_rule({"tls": INSECURE}, host="*.models.svc.cluster.local"),
        *("istio tls", Outcome.PASS, "DestinationRule models/llama-epp says TLS", ""),
        id="wildcard",
    ),
    pytest.param(
        tls_of_rule({"tls": INSECURE}, host="*.others.svc.cluster.local"),
        *("istio tls", Outcome.WARN, NO_TLS, NO_TLS_ADVICE),
        id="another wildcard",
    ),
    pytest.param(
        lambda cluster: cluster.change(GATES, "inference-gateway")["spec"].update(gatewayClassName="eg"),
        *("istio tls", Outcome.SKIPPED, "no Gateway of a class of Istio", ""),
        id="another gateway",
    ),
]


@pytest.mark.parametrize(("change", "check", "outcome", "message", "advice"), ISTIO_CASES)
async def test_row_and_advice(
    cluster: DoctorCluster, change: Break, check: str, outcome: Outcome, message: str, advice: str
) -> None:
    change(cluster)
    assert await row_of(check) == Row(check, outcome, message, advice)
