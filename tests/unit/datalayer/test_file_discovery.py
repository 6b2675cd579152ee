"""The pool from a file, and what happens when the file changes or breaks."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from epp.datalayer.file_discovery import FileDiscovery, Params
from epp.plugin import ConfigurationError, EndpointSpec
from epp.plugin.testing import make_context
from tests.fakes import virtual_time

ONE = "endpoints: [{name: a, address: 10.0.0.1, port: 8000}]"
TWO = "endpoints: [{name: a, address: 10.0.0.1, port: 8000}, {name: b, address: 10.0.0.2, port: 8000}]"


def discovery(path: Path, *, watch_file: bool = True) -> FileDiscovery:
    return FileDiscovery(Params(path=str(path), watch_file=watch_file), make_context())


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        discovery(path).load()
    return [str(problem) for problem in caught.value.problems]


def test_endpoints_are_read_with_defaults_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(
        "endpoints:\n- {name: a, address: 10.0.0.1, port: '8000', labels: {role: decode}}\n"
        "- {name: b, namespace: other, address: 'fd00::1', port: 8000}\n"
    )
    assert discovery(file).load() == [
        EndpointSpec(name="a", namespace="default", address="10.0.0.1", port=8000, labels={"role": "decode"}),
        EndpointSpec(name="b", namespace="other", address="fd00::1", port=8000),
    ]


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    file.write_text('{"endpoints": [{"name": "a", "address": "10.0.0.1", "port": 8000}]}')
    assert [spec.key for spec in discovery(file).load()] == ["default/a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("endpoints: [{name: a, address: host, port: 1}]", "`host` is no IP address", id="host name"),
        pytest.param("endpoints: [{name: a, address: 10.0.0.1}]", "missing required field `port`", id="no port"),
        pytest.param("endpoints: [{name: a, address: 10.0.0.1, port: 0}]", "$.endpoints[0].port", id="port 0"),
        pytest.param(ONE + "\ncolour: blue", "unknown field `colour`", id="unknown field"),
        pytest.param("endpoints: [", "expected the node content", id="torn"),
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


def test_missing_file_at_start_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "nowhere.yaml") == [
        f"{tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory"
    ]


class Watched:
    """A discovery that is being watched in virtual time."""

    def __init__(self, file: Path, *, watch_file: bool = True) -> None:
        self.file = file
        self.published: list[list[str]] = []
        self._discovery = discovery(file, watch_file=watch_file)

    def note(self, specs: Sequence[EndpointSpec]) -> None:
        self.published.append([spec.name for spec in specs])

    async def after(self, *texts: str | None) -> list[list[str]]:
        """Write one text after the other, with time to notice each (``None`` removes the file); return what came."""
        self.file.write_text(ONE)
        self._discovery.load()
        task = asyncio.ensure_future(self._discovery.watch(self.note))
        for text in texts:
            self.file.unlink() if text is None else self.file.write_text(text)
            await asyncio.sleep(2)
        task.cancel()
        return self.published


@pytest.mark.parametrize(
    ("texts", "published"),
    [
        pytest.param([TWO], [["a", "b"]], id="change"),
        pytest.param([ONE], [], id="same content"),
        pytest.param(["endpoints: ["], [], id="broken keeps the last good set"),
        pytest.param([None], [], id="removed keeps the last good set"),
        pytest.param(["endpoints: [", TWO], [["a", "b"]], id="mended"),
        pytest.param([None, TWO, ONE], [["a", "b"], ["a"]], id="replaced"),
        pytest.param(["endpoints: []"], [[]], id="emptied on purpose"),
    ],
)
def test_change_of_the_file_is_published(tmp_path: Path, texts: list[str | None], published: list[list[str]]) -> None:
    assert virtual_time.run(Watched(tmp_path / "endpoints.yaml").after(*texts)) == published


def test_file_is_not_watched_unless_asked(tmp_path: Path) -> None:
    assert virtual_time.run(Watched(tmp_path / "endpoints.yaml", watch_file=False).after(TWO)) == []


def test_file_swapped_by_symbolic_link_is_noticed(tmp_path: Path) -> None:
    """As a Kubernetes ConfigMap mount changes: the directory behind a link is another one."""

    async def swap() -> list[list[str]]:
        for name, text in (("v1", ONE), ("v2", TWO)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "endpoints.yaml").write_text(text)
        (tmp_path / "data").symlink_to("v1")
        one, published = discovery(tmp_path / "data" / "endpoints.yaml"), []
        one.load()
        task = asyncio.ensure_future(one.watch(lambda specs: published.append([spec.name for spec in specs])))
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "data")
        await asyncio.sleep(2)
        task.cancel()
        return published

    assert virtual_time.run(swap()) == [["a", "b"]]
