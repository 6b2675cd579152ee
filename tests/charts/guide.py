"""The Kubernetes guide as data: the files that its YAML blocks are, and the commands that it tells to type."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import yaml

from tests.charts.rendering import CHARTS, Json, merged, nested

ROOT = CHARTS.parent
PAGES = sorted((ROOT / "docs").glob("kubernetes-*.md"))
TEXT = "\n".join(page.read_text() for page in PAGES)
CONFIGURATION = "EndpointPickerConfig"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def _named(block: str) -> tuple[str, str]:
    name = re.match(r"# ([\w-]+\.yaml)\n", block)
    assert name is not None, f"a block without its file's name: {block[:60]}"
    return name[1], block


FILES: Mapping[str, str] = dict(map(_named, blocks("yaml")))
"""What each YAML block is, by the name in its first line."""
DOCUMENTS: Mapping[str, Json] = {
    f"{file}: {number}": document
    for file, text in FILES.items()
    for number, document in enumerate(yaml.safe_load_all(text))
}
MANIFESTS: Mapping[str, Json] = {
    place: one for place, one in DOCUMENTS.items() if "apiVersion" in one and one["kind"] != CONFIGURATION
}
VALUES: Mapping[str, Json] = {
    place.partition(":")[0]: one for place, one in DOCUMENTS.items() if "apiVersion" not in one
}
"""Helm values, by file."""


def _commands() -> Iterator[list[str]]:
    """Yield each command as its words, with those of what it is piped into."""
    for block in blocks("console"):
        for typed in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE):
            if typed.strip():
                yield shlex.split(typed)


COMMANDS: Sequence[list[str]] = list(_commands())
MADE_BY_COMMANDS = {after for words in COMMANDS for word, after in pairwise(words) if word == ">"}
"""Files that a command's output is written to."""


def of(program: str) -> list[list[str]]:
    """Return what a program is called with, each time that a line begins with it, without what its output goes to."""
    return [_alone(words[1:]) for words in COMMANDS if words[0] == program]


def _alone(words: list[str]) -> list[str]:
    ends = [number for number, word in enumerate(words) if word in {"|", ">", "&"}]
    return words[: min(ends)] if ends else words


@dataclass
class HelmCommand:
    """``helm install`` or ``helm upgrade``."""

    release: str
    chart: str
    files: list[str] = field(default_factory=list)
    values: Json = field(default_factory=dict)
    """Of the files, and of ``--set`` and ``--set-file``."""

    @property
    def is_ours(self) -> bool:
        return self.chart.startswith("charts/")

    @property
    def chart_name(self) -> str:
        return Path(self.chart).name


def helm_command(words: Sequence[str]) -> HelmCommand:
    """Return an installation as it is typed."""
    given = iter(words[1:])
    command = HelmCommand(release=next(given), chart=next(given))
    for word in given:
        if word == "-f":
            command.files.append(next(given))
            command.values = merged(command.values, VALUES[command.files[-1]])
        elif word in {"--set", "--set-file"}:
            path, _, value = next(given).partition("=")
            text = FILES[value] if word == "--set-file" else value
            command.values = merged(command.values, _at(path, text))
        elif word in {"--namespace", "--version"}:
            next(given)
        else:
            assert word == "--create-namespace", word
    return command


def _at(path: str, value: str) -> Json:
    *above, last = re.split(r"(?<!\\)\.", path)
    leaf: Json = {last.replace("\\.", "."): value}
    return nested(".".join(above), leaf) if above else leaf


HELM_COMMANDS = [helm_command(words) for words in of("helm") if words[0] in {"install", "upgrade"}]
