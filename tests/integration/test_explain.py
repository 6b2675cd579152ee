"""``epp explain``: the same decision as in traffic, from a snapshot or from live servers."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from epp.cli import main
from epp.demo.parts import HOST
from epp.explaining import Question, as_table, explain
from tests.fakes.upstream import running_upstreams

BODY = b'{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}'
SNAPSHOT = [
    {"name": "a", "address": "10.0.0.1", "port": 8000, "load": {"waiting": 3, "running": 2, "kv_cache_ratio": 0.6}},
    {"name": "b", "address": "10.0.0.2", "port": 8000, "load": {"waiting": 1, "running": 2, "kv_cache_ratio": 0.7}},
    {"name": "c", "address": "10.0.0.3", "port": 8000, "ready": False},
]


SPOILT: dict[str, dict[str, object]] = {
    "ELSEWHERE": {"address": "10.0.0"},
    "ZONE": {"address": "fe80::1%eth0"},
    "NOWHERE": {"port": 80_000},
    "LESS": {"in_flight": {"requests": -5}},
    "NO-ADAPTERS": {"load": {"adapters": {"max_loaded": -1}}},
    "TWICE": {"name": "b"},
}
"""What is changed of the first endpoint."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    request, snapshot = tmp_path / "request.json", tmp_path / "snapshot.json"
    request.write_bytes(BODY)
    snapshot.write_text(json.dumps(SNAPSHOT))
    return str(request), str(snapshot)


def epp(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments], catch_exceptions=False, input=stdin)


def test_decision_and_its_reasons_are_shown(files: tuple[str, str]) -> None:
    request, snapshot = files
    # b: 2 x 1 + 2 x 0.3 = 2.6, a: 2 x 0.4 = 0.8; equal with a queue weight of 0.2.
    assert epp(request, "--snapshot", snapshot).stdout.splitlines() == [
        "model tiny: 10.0.0.2:8000",
        "  not ready: default/c",
        "profile default: default/b",
        "  endpoint   queue-scorer  kv-cache-utilization-scorer  prefix-cache-scorer  total",
        "  default/b  1.0           0.3                          0.0                  2.6",
        "  default/a  0.0           0.4                          0.0                  0.8",
        "  ahead by 1.8",
        "  default/a would win with queue-scorer at 0.19 in place of 2",
    ]


def test_tie_is_told_as_chance_with_what_would_have_decided(files: tuple[str, str], tmp_path: Path) -> None:
    request, snapshot = files
    twins = [{**SNAPSHOT[0], "name": name, "address": f"10.0.0.{i}"} for i, name in enumerate("abc")]
    Path(snapshot).write_text(json.dumps(twins))
    lines = epp(request, "--snapshot", snapshot).stdout.splitlines()
    picked = lines[1].removeprefix("profile default: ")
    others = " and ".join(f"default/{name}" for name in "abc" if f"default/{name}" != picked)
    assert lines[-1] == f"  as good as {others}: the choice between them was by chance"


@pytest.mark.parametrize(
    ("profile", "line"),
    [
        ({"margin": 0.5}, "ahead by 0.5"),
        ({"margin": 0.0}, "ahead by less than 0.0001"),
        ({"margin": 0.0, "tied": ["b"]}, "as good as b: the choice between them was by chance"),
        ({"margin": 0.0, "tied": list("bcdefg")}, "as good as 6 others: the choice between them was by chance"),
    ],
)
def test_lead_is_told_in_words(profile: dict[str, object], line: str) -> None:
    common = {"profile": "p", "picked": ["a"], "removed": [], "tied": [], "flip": None, "candidates": [{"total": 1}]}
    text = as_table({"model": "m", "endpoints": ["a"], "not_ready": [], "profiles": [common | profile]})
    assert text.splitlines()[-1] == f"  {line}"


def test_request_may_come_from_standard_input_and_go_to_a_program(files: tuple[str, str]) -> None:
    document = json.loads(epp("-", "--snapshot", files[1], "--format", "json", stdin=BODY).stdout)
    assert document["endpoints"] == ["10.0.0.2:8000"]
    assert document["profiles"][0]["margin"] == pytest.approx(1.8)


def test_filters_are_told_with_whom_they_removed(files: tuple[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        "plugins: [{type: header-based-testing-filter}, {type: queue-scorer}]}"
    )
    header = "test-epp-endpoint-selection: 10.0.0.1"
    result = epp(files[0], "--snapshot", files[1], "--config-file", str(config), "-H", header)
    assert "  removed by header-based-testing-filter: default/b" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(
            [], 2, "give either --endpoint, as often as there are servers, or --snapshot; a discovery", id="nobody"
        ),
        pytest.param(["--endpoint", "8000"], 2, "epp: --endpoint 8000: must be HOST:PORT", id="no address"),
        pytest.param(["--snapshot", "REQUEST"], 2, "epp: --snapshot: Expected `array`, got `object`", id="no snapshot"),
        pytest.param(
            ["--snapshot", "ELSEWHERE"],
            2,
            "epp: --snapshot: `10.0.0` is no IP address - at `$[0].address`",
            id="address that is none",
        ),
        pytest.param(["--snapshot", "ZONE"], 2, "`fe80::1%eth0` is no IP address - at `$[0].address`", id="zone"),
        pytest.param(["--snapshot", "LESS"], 2, "Expected `int` >= 0 - at `$[0].in_flight.requests`", id="too few"),
        pytest.param(["--snapshot", "NO-ADAPTERS"], 2, "`int` >= 0 - at `$[0].load.adapters.max_loaded`", id="none"),
        pytest.param(["--snapshot", "TWICE"], 2, "`default/b` stands there twice - at `$[1]`", id="one twice"),
        pytest.param(["--snapshot", "NOWHERE"], 2, "Expected `int` <= 65535 - at `$[0].port`", id="port that is none"),
        pytest.param(
            ["--snapshot", "SNAPSHOT", "--path", "/v1/completions"],
            1,
            "epp: the request is refused with 400: `prompt` is required",
            id="request of another API",
        ),
    ],
)
def test_what_cannot_be_explained_is_told(
    files: tuple[str, str], arguments: list[str], code: int, message: str
) -> None:
    request, snapshot = files
    named = {"REQUEST": request, "SNAPSHOT": snapshot}
    for name, change in SPOILT.items():
        file = Path(snapshot).with_name(name)
        file.write_text(json.dumps([{**SNAPSHOT[0], **change}, *SNAPSHOT[1:]]))
        named[name] = str(file)
    result = epp(request, *(named.get(one, one) for one in arguments))
    assert result.exit_code == code
    assert message in result.stderr


async def test_live_servers_are_asked_for_their_load() -> None:
    async with running_upstreams(2) as (busy, idle):
        busy.page = "vllm:num_requests_waiting 9\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc 0.5\n"
        question = Question(
            body=BODY, path="/v1/chat/completions", head={}, endpoints=[busy.name, idle.name, f"{HOST}:1"]
        )
        document = await explain(None, question)
    assert document["endpoints"] == [idle.name]
    assert document["not_ready"] == [f"default/{HOST}:1"]


def test_weights_are_told_as_they_are(files: tuple[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        "plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}], "
        "schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 999999.5}, "
        "{pluginRef: kv-cache-utilization-scorer, weight: 2}]}]}"
    )
    last = epp(files[0], "--snapshot", files[1], "--config-file", str(config)).stdout.splitlines()[-1]
    assert last == "  default/a would win with queue-scorer at 0.1 in place of 999999.5"
