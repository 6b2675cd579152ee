"""What `docs/configuration.md` shows of the command line is what it prints, with the files that the page shows."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from epp.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
METRICS_PAGE = "http://10.0.0.1:8000/metrics"
METRICS_FILE = ROOT / "tests" / "data" / "vllm-0.32-metrics.txt"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Return the `epp` commands of the page, each with what is shown below it."""
    typed = [one for block in blocks("console") for one in re.split(r"^\$ ", block, flags=re.MULTILINE) if one]
    shown = [(command, output) for command, _, output in (one.partition("\n") for one in typed)]
    return [(command, output) for command, output in shown if command.startswith("epp ")]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with the files of the page: the name is a comment on the first line, or before JSON."""
    monkeypatch.chdir(tmp_path)
    for block in blocks("yaml"):
        name = re.match(r"# (\w+\.yaml)\n", block)
        if name is not None:
            Path(name[1]).write_text(block)
    for name, block in re.findall(r"`(\w+\.json)`:\n\n```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        Path(name).write_text(block)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("command", "output"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_command_prints_what_the_page_shows(command: str, output: str) -> None:
    arguments = command.replace(METRICS_PAGE, str(METRICS_FILE)).split()[1:]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.output == output


def test_page_shows_each_command_that_is_about_configurations() -> None:
    assert {command.split()[1] for command, _ in commands()} == {"check-config", "explain", "plugins"}
