"""What ``epp doctor`` makes of what could not be looked at."""

import msgspec
import pytest

from epp.doctor.reaching import PodError
from epp.doctor.verdict import Found, Outcome, Sheet
from epp.kube.connection import KubeError


def caused(by: Exception) -> KubeError:
    error = KubeError("GET /")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "outcome", "word"),
    [
        pytest.param(KubeError("no", status=403), Outcome.SKIPPED, "somebody who may", id="forbidden"),
        pytest.param(PodError("no", status=403), Outcome.FAIL, "the pod itself", id="forbidden by the pod"),
        pytest.param(caused(TimeoutError()), Outcome.FAIL, "longer --timeout", id="slow"),
        pytest.param(caused(msgspec.ValidationError()), Outcome.FAIL, "another version", id="undecodable"),
        pytest.param(caused(OSError()), Outcome.FAIL, "nobody at this address", id="refused"),
        pytest.param(KubeError("no", status=404), Outcome.FAIL, "is it installed", id="absent"),
        pytest.param(KubeError("no", status=502), Outcome.FAIL, "its log shows", id="broken"),
    ],
)
async def test_advice_is_about_what_went_wrong(error: KubeError, outcome: Outcome, word: str) -> None:
    async def check() -> Found[None]:
        raise error

    sheet = Sheet()
    await sheet.run("any", check)
    (row,) = sheet.rows
    assert row.outcome is outcome
    assert word in row.advice
    assert ("--timeout" in row.advice) is (word == "longer --timeout")
