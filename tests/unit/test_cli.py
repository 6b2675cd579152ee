"""The command line: what a person reads when something is wrong, and the exit code that a script sees."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from epp.cli import main
from epp.flags import ignored

GOOD = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: queue-scorer
        weight: 2
"""


def epp(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_valid_configuration_is_ok_and_its_profiles_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    result = epp("check-config", str(file))
    assert result.exit_code == 0
    assert result.stdout == f"{file}: ok: profile default: queue-scorer x 2\n"


def test_invalid_configuration_is_1_and_all_problems_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("weight: 2", "weight: heavy").replace("type: queue-scorer", "type: queue-scorrer"))
    result = epp("check-config", str(file))
    entry, unknown = "schedulingProfiles[0].plugins[0]", "plugin type `queue-scorrer` is not installed"
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{file}:5:5: error: plugins[0].type: {unknown}; did you mean `queue-scorer`?",
        f"{file}:9:9: error: {entry}.pluginRef: no plugin is named `queue-scorer`; did you mean `queue-scorrer`?",
        f"{file}:10:9: error: {entry}.weight: expected `float | null`, got `str`",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("a: 1\nb: 2\n  a: 3\n", "3:4: error: not valid YAML: mapping values", id="wrong syntax"),
        pytest.param("a: 1\nb:\n  c: 1\n  c: 2\n", "4:3: error: not valid YAML: duplicate key `c`", id="twice"),
        pytest.param("a: 1\nb: \x00\n", "2:4: error: not valid YAML: special characters are not", id="no character"),
        pytest.param("a: 1\nb: 2024-99-99\n", "2:4: error: not valid YAML: month must be in", id="no date"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    result = epp("check-config", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{file}:{complaint}")
    assert "line" not in result.stderr
    place = complaint.split(":")
    assert f"(line {place[0]}, column {place[1]})" in epp("serve", "--config-file", str(file)).stderr


SHADOW = """
  - name: next
    plugins: []
shadow: {profileRef: next, sampleRatio: 0.25}
"""


def test_profile_in_the_shadow_is_shown_as_such(tmp_path: Path) -> None:
    file = tmp_path / "shadow.yaml"
    file.write_text(GOOD.rstrip() + SHADOW)
    assert epp("check-config", str(file)).stdout.splitlines() == [
        f"{file}: ok: profile default: queue-scorer x 2",
        f"{file}: ok: profile next, in the shadow of 25% of the requests: no scorer",
    ]


def test_advice_is_shown_and_fails_only_where_it_is_asked_to(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(GOOD.replace("weight: 2", "weight: 0"))
    result = epp("check-config", str(file))
    assert result.exit_code == 0
    assert result.stderr == (
        f"{file}:10:9: advice: schedulingProfiles[0].plugins[0].weight: is 0, so this scorer has no say\n"
    )
    assert epp("check-config", "--strict", str(file)).exit_code == 1


def test_check_is_printed_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(GOOD.replace("weight: 2", "weight: 0"))
    document = json.loads(epp("check-config", "--format", "json", str(file)).stdout)
    assert document["valid"] is True
    (advice,) = document["advice"]
    assert (advice["path"], advice["line"]) == ("schedulingProfiles[0].plugins[0].weight", 10)
    file.write_text("a: [1")
    result = epp("check-config", "--format", "json", str(file))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errors"][0]["line"] == 1


@pytest.mark.parametrize(
    ("page", "message"),
    [
        pytest.param("http://127.0.0.1:1/metrics", "cannot be reached: Connection refused", id="nobody there"),
        pytest.param("http://no-such-host.invalid/metrics", "cannot be reached: ", id="no such host"),
        pytest.param("http://", "is no URL", id="half a URL"),
        pytest.param("ftp://h/metrics", "must begin with http:// or https://, or be a file", id="other scheme"),
        pytest.param("missing.txt", "cannot be read: No such file or directory", id="no file"),
        pytest.param("LOG", "is no metrics page: no line of it is like `name 1` or `name{label=", id="something else"),
    ],
)
def test_page_that_cannot_be_had_is_told(tmp_path: Path, page: str, message: str) -> None:
    file, log = tmp_path / "good.yaml", tmp_path / "log.txt"
    file.write_text(GOOD)
    log.write_text("INFO started 3 workers\n2024-01-01 up\n<html>1</html>\n{} 1\n")
    where = page.replace("LOG", str(log))
    result = epp("check-config", "--against", where, str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"epp: --against {where}: {message}")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--config-text", ""], "epp: --config-text: must be a mapping, not empty", id="empty config"),
        pytest.param([], "epp: nothing names the pool: give --pool-name", id="no pool"),
        pytest.param(["--endpoint", "8000"], "epp: --endpoint 8000: must be HOST:PORT", id="bad endpoint"),
        pytest.param(["--pool-name", "../x"], "epp: --pool-name: `../x` cannot be the name", id="bad pool"),
        pytest.param(
            ["--pool-name", "a", "--pool-namespace", "b/c"], "--pool-namespace: `b/c` cannot be", id="bad namespace"
        ),
        pytest.param(
            ["--pool-name", "a", "--endpoint", "10.0.0.1:8000"],
            "epp: --endpoint and --pool-name both name the pool; use one of them",
            id="two pools",
        ),
        pytest.param(
            ["--endpoint-selector", "a=b,a=c", "--endpoint-target-ports", "8000"],
            "epp: --endpoint-selector: must be like app=vllm,tier=gpu, not `a=b,a=c`",
            id="label twice",
        ),
        pytest.param(
            ["--endpoint-selector", "a in (b)", "--endpoint-target-ports", "8000"],
            "epp: --endpoint-selector: must be like app=vllm",
            id="no selector",
        ),
        pytest.param(
            ["--endpoint-selector", "a=b", "--endpoint-target-ports", "8000,65536"],
            "epp: --endpoint-target-ports: must be like 8000,8001, not `8000,65536`",
            id="no such target port",
        ),
        pytest.param(
            ["--endpoint-selector", "a=b"], "epp: --endpoint-target-ports: must be like 8000", id="no target port"
        ),
        pytest.param(
            ["--endpoint", "10.0.0.1:8000", "--ha-enable-leader-election"],
            "epp: --ha-enable-leader-election needs Kubernetes",
            id="nobody to elect",
        ),
        pytest.param(["--grpc-port", "70000"], "70000 is not in the range 1<=x<=65535", id="no such port"),
        pytest.param(["--refresh-metrics-interval=0s"], "`0s` is too short; the least is 0.05s", id="no pause"),
        pytest.param(
            ["--endpoint", "10.0.0.1:1", "--bind-address", "no-such-host.invalid"],
            "epp: cannot listen on no-such-host.invalid:9090: ",
            id="no such address",
        ),
        pytest.param(["--v=-1"], "-1 is not in the range x>=0", id="negative verbosity"),
        pytest.param(["--grpc-port", "high"], "'high' is not a valid integer", id="bad number"),
        pytest.param(["--drain-timeout", "30"], "`30` is no duration; write it like 30s", id="bad duration"),
        pytest.param(["--secure-serving=maybe"], "'maybe' is not a valid boolean", id="bad boolean"),
        pytest.param(
            ["--endpoint", "10.0.0.1:1", "--endpoint-response-header", "bad header"],
            "epp: --endpoint-response-header: `bad header` is no name of a header that can be set",
            id="no header",
        ),
        pytest.param(["--no-such-flag"], "No such option", id="unknown flag"),
        pytest.param(
            ["--config-file", "nowhere.yaml"], "epp: --config-file nowhere.yaml: cannot be read", id="no file"
        ),
        pytest.param(["--config-text", "a", "--config-file", "b"], "exclude each other", id="file and text"),
        pytest.param(["--config-text", "colour: blue"], "epp: --config-text: colour: unknown field", id="bad config"),
        pytest.param(
            ["--endpoint", "10.0.0.1:1", "--cert-path", "/nowhere"],
            "epp: --cert-path /nowhere: cannot read /nowhere/tls.crt: No such file or directory",
            id="no certificate",
        ),
    ],
)
def test_wrong_start_is_2_and_says_what_to_do(flags: list[str], message: str) -> None:
    result = epp("serve", *flags)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", ["serve", "explain"])
def test_who_shows_the_places_of_problems_is_told(tmp_path: Path, command: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("colour: blue")
    arguments = [str(file), "--endpoint", "127.0.0.1:1"] if command == "explain" else []
    lines = epp(command, *arguments, "--config-file", str(file)).stderr.splitlines()
    assert lines[-1].endswith(f"`epp check-config {file}` shows the lines")


def test_two_sources_of_the_pool_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text("endpoints: []")
    config = (
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        f"plugins: [{{type: file-discovery, parameters: {{path: {file}}}}}], "
        "dataLayer: {discovery: {pluginRef: file-discovery}}}"
    )
    result = epp("serve", "--endpoint", "10.0.0.1:1", "--config-text", config)
    assert result.exit_code == 2
    assert "both name the pool" in result.stderr


@pytest.mark.parametrize("command", ["serve", "demo", "simulate", "check-config", "plugins", "doctor"])
def test_every_option_of_every_command_is_explained(command: str) -> None:
    result = epp(command, "--help")
    assert result.exit_code == 0
    options = [one for one in main.commands[command].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


def test_flag_may_be_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPP_SERVE_GRPC_PORT", "70000")
    result = epp("serve")
    assert result.exit_code == 2
    assert "70000 is not in the range 1<=x<=65535" in result.stderr


def test_flags_of_the_go_pickers_do_nothing_and_say_so() -> None:
    flags = {"zap_encoder": "json", "tracing": "false", "enable_pprof": None, "v": 1}
    assert sorted(ignored(flags)) == ["--tracing", "--zap-encoder"]
    assert flags == {"v": 1}


def test_flags_that_the_go_pickers_refuse_are_refused() -> None:
    result = epp("serve", "--lora-info-metric", "vllm:lora")
    assert result.exit_code == 2
    assert "--lora-info-metric: name metrics in the parameters of `core-metrics-extractor`" in result.stderr


def test_installed_plugins_are_listed_and_shown() -> None:
    assert "queue-scorer" in epp("plugins").stdout
    assert json.loads(epp("plugins", "queue-scorer", "--format", "json").stdout)["roles"] == ["scorer"]


def test_unknown_plugin_is_2_with_the_likely_name() -> None:
    result = epp("plugins", "queue-scorrer")
    assert result.exit_code == 2
    assert result.stderr == "epp: plugin type `queue-scorrer` is not installed; did you mean `queue-scorer`?\n"


def test_simulator_refuses_a_speed_of_zero() -> None:
    result = epp("simulate", "--decode-tokens-per-second", "0")
    assert result.exit_code == 2
    assert "0.0 is not in the range x>=0.001" in result.stderr
