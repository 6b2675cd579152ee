"""Clusters that cannot be found, and connections that do what they should not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.kube import reflector
from epp.kube.connection import KubeError, connected
from epp.observability import Metrics
from epp.plugin import ConfigurationError
from tests.fakes.following import followed, until
from tests.fakes.kube_api import CORE, POOLS, KubeApi, pod, pool

BROKEN = {
    "missing": None,
    "empty": "",
    "a list": "[]",
    "no yaml": "{",
    "no user": "{clusters: [{name: c, cluster: {server: 'http://x'}}], "
    "contexts: [{name: c, context: {cluster: c}}], current-context: c}",
    "no context": "{clusters: [], contexts: [], current-context: c}",
    "no url": "{clusters: [{name: c, cluster: {server: 'http://[::1'}}], users: [{name: u, user: {token: t}}], "
    "contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in BROKEN.items()])
async def test_kubeconfig_that_is_of_no_use_is_told(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(ConfigurationError, match=f"no Kubernetes cluster: .*{file} does not help"):
        async with connected():
            pass


@pytest.mark.parametrize("output", ["nothing", "{}", '{"status": null}', '{"status": {"clientCertificateData": "x"}}'])
async def test_plugin_that_signs_nobody_in_is_a_failed_request(
    api: KubeApi, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{output}'\n")
    plugin.chmod(0o755)
    text = (tmp_path / "kubeconfig").read_text()
    sign_in = f"{{exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: {plugin}}}}}"
    (tmp_path / "kubeconfig").write_text(
        text.replace("    token: t\n", "").replace("  user:\n", f"  user: {sign_in}\n")
    )
    async with connected() as one:
        with pytest.raises(KubeError, match="GET /api/v1/pods"):
            await one.request("GET", "/api/v1/pods")


@contextlib.asynccontextmanager
async def answering(content: bytes, port: int) -> AsyncIterator[None]:
    """Answer every request with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(content)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, port):
        yield


def http(body: bytes, *, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)


GARBAGE = {
    "html": http(b"<html>a proxy</html>", kind=b"text/html"),
    "nothing": b"",
    "no http": b"hello\n",
    "half": http(b'{"metadata": {"resourceVersion": "1"}, "items": [')[:-10],
    "deep": http(b"[" * 100_000 + b"]" * 100_000),
    "deep object": http(b'{"metadata": {"resourceVersion": "1"}, "items": [' + b"[" * 9000 + b"]" * 9000 + b"]}"),
    "endless pages": http(b'{"metadata": {"resourceVersion": "1", "continue": "again"}, "items": []}'),
    "later": b"HTTP/1.1 429 Too Many\r\nretry-after: 86400\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in GARBAGE.items()])
async def test_server_that_answers_nonsense_is_left_when_it_is_well_again(api: KubeApi, content: bytes) -> None:
    api.put(f"{POOLS}/inferencepools", pool("llama"))
    api.put(f"{CORE}/pods", pod("a", "10.0.0.1"))
    await api.stop()
    async with answering(content, api.port), followed() as (seen, metrics):
        await until(lambda: failures(metrics) > 2)
        assert seen.destinations == []
    await api.start()
    async with followed() as (seen, _):
        await until(lambda: len(seen.destinations) == 1)


def failures(metrics: Metrics) -> float:
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return sum(one.value for one in samples if one.name == "epp_kube_failures_total")


async def test_line_that_never_ends_is_given_up(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epp.kube.connection.LONGEST_LINE_BYTES", 100_000)
    (port,) = free_ports(HOST, [0])
    async with answering(http(b"x" * 300_000), port), connected() as one:
        one._http.base_url = f"http://{HOST}:{port}"
        with pytest.raises(KubeError, match="a line of more than 100000 bytes"):
            async for _ in one.lines("/x", params={}, silence_s=reflector.SILENCE_S):
                pass
