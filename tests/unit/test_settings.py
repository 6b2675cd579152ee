"""Flags in Go's spelling."""

import pytest

from epp.plugin import parse_duration
from epp.settings import Environment, Settings, environment, field_docs


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("500ms", 0.5), ("1m30s", 90.0), ("1.5s", 1.5), ("2h", 7200.0), ("0s", 0.0), ("0", 0.0)],
)
def test_go_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1 s", "-1s", "1s2", "1d"])
def test_anything_else_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 30s, 500ms or 1m30s"):
        parse_duration(text)


def test_every_setting_has_a_line_that_explains_it() -> None:
    assert set(field_docs(Settings)) == set(Settings.__struct_fields__)


def test_environment_says_where_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACE", "POD_TEMPLATE_HASH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POD_NAME", "epp-1")
    monkeypatch.setenv("KUBECONFIG", "")
    assert environment() == Environment(pod_name="epp-1", kubeconfig="~/.kube/config")
