"""The pool from a file, and what happens when the file changes or breaks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from epp.datalayer import file_discovery
from epp.datalayer.file_discovery import FileDiscovery, Params, read_specs
from epp.plugin import ConfigurationError, EndpointSpec
from epp.plugin.testing import make_context

ONE = "endpoints: [{name: a, address: 10.0.0.1, port: 8000}]"
THREE = "endpoints: [{name: c, address: 10.0.0.3, port: 8000}]"
TWO = "endpoints: [{name: a, address: 10.0.0.1, port: 8000}, {name: b, address: 10.0.0.2, port: 8000}]"


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_specs(path.read_bytes(), path)
    return [str(problem) for problem in caught.value.problems]


def test_endpoints_are_read_with_defaults_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(
        "endpoints:\n- {name: a, address: 10.0.0.1, port: '8000', labels: {role: decode}}\n"
        "- {name: b, namespace: other, address: 'fd00::1', port: 8000}\n"
    )
    assert read_specs(file.read_bytes(), file) == [
        EndpointSpec(name="a", namespace="default", address="10.0.0.1", port=8000, labels={"role": "decode"}),
        EndpointSpec(name="b", namespace="other", address="fd00::1", port=8000),
    ]


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    file.write_text('{"endpoints": [{"name": "a", "address": "10.0.0.1", "port": 8000}]}')
    assert [spec.key for spec in read_specs(file.read_bytes(), file)] == ["default/a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("endpoints: [{name: a, address: host, port: 1}]", "`host` is no IP address", id="host name"),
        pytest.param("endpoints: [{name: a, address: 10.0.0.1}]", "missing required field `port`", id="no port"),
        pytest.param("endpoints: [{name: a, address: 10.0.0.1, port: 0}]", "$.endpoints[0].port", id="port 0"),
        pytest.param(ONE + "\ncolour: blue", "unknown field `colour`", id="unknown field"),
        pytest.param("endpoints: [", "not valid YAML: expected the node content", id="torn"),
        pytest.param("endpoints: []\nendpoints: []", "duplicate key `endpoints`", id="key that stands twice"),
        pytest.param("", "Expected `object`, got `null`", id="empty"),
        pytest.param(
            "endpoints: [{name: a, address: 10.0.0.1, port: 1}, {name: a, address: 10.0.0.2, port: 1}]",
            "endpoints[1]: `default/a` stands twice",
            id="same name twice",
        ),
    ],
)
def test_broken_file_at_start_says_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(text)
    (found,) = problems_of(file)
    assert str(file) in found
    assert problem in found


class Watched:
    """A discovery at work, with the names of the endpoints that it published."""

    def __init__(self, path: Path, *, watch_file: bool = True) -> None:
        self.published: list[list[str]] = []
        self.discovery = FileDiscovery(Params(path=str(path), watch_file=watch_file), make_context())

    def note(self, specs: Sequence[EndpointSpec]) -> None:
        self.published.append([spec.name for spec in specs])

    async def wait_for(self, names: list[str]) -> None:
        async with asyncio.timeout(10):
            while not self.published or self.published[-1] != names:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Watched]:
    """Watch a file while the context is open; a watch that fails fails the test."""
    watched = Watched(path)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watched.discovery.watch(watched.note))
        yield watched
        task.cancel()


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_discovery, "POLL_INTERVAL_S", 0.001)


async def test_missing_file_at_start_is_named(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigurationError) as caught:
        await watched.discovery.watch(watched.note)
    assert str(caught.value) == f"{tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory"
    assert watched.published == []


@pytest.mark.parametrize(
    ("texts", "published"),
    [
        pytest.param([], [["a"], ["c"]], id="start"),
        pytest.param([TWO], [["a"], ["a", "b"], ["c"]], id="change"),
        pytest.param([ONE], [["a"], ["c"]], id="same content"),
        pytest.param(["endpoints: ["], [["a"], ["c"]], id="broken keeps the last good set"),
        pytest.param(["endpoints: [{name: x, labels: {built: 2024-99-99}}]"], [["a"], ["c"]], id="date that is none"),
        pytest.param(["[" * 5000], [["a"], ["c"]], id="deep nesting"),
        pytest.param([None], [["a"], ["c"]], id="removed keeps the last good set"),
        pytest.param(["endpoints: []"], [["a"], [], ["c"]], id="emptied on purpose"),
    ],
)
async def test_change_of_the_file_is_published(
    tmp_path: Path, texts: list[str | None], published: list[list[str]]
) -> None:
    """Each case ends with a good change, which must come through whatever was before."""
    file = tmp_path / "endpoints.yaml"
    file.write_text(ONE)
    async with watching(file) as watched:
        await watched.wait_for(["a"])
        for text in texts:
            file.unlink() if text is None else replace(file, text)
            await asyncio.sleep(0.05)
        replace(file, THREE)
        await watched.wait_for(["c"])
    assert watched.published == published


def replace(file: Path, text: str) -> None:
    """Write a file so that no reader sees half of it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


async def test_file_that_is_not_watched_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(ONE)
    watched = Watched(file, watch_file=False)
    await watched.discovery.watch(watched.note)
    assert watched.published == [["a"]]


async def test_file_swapped_by_symbolic_link_is_noticed(tmp_path: Path) -> None:
    """As a Kubernetes ConfigMap mount changes: the directory behind a link is another one."""
    for name, text in (("v1", ONE), ("v2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "endpoints.yaml").write_text(text)
    (tmp_path / "data").symlink_to("v1")
    async with watching(tmp_path / "data" / "endpoints.yaml") as watched:
        await watched.wait_for(["a"])
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "data")
        await watched.wait_for(["a", "b"])
    assert watched.published == [["a"], ["a", "b"]]
