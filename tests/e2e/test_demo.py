"""``epp demo`` as a newcomer runs it: one command, and nothing left of it afterwards."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from epp.demo.parts import HOST
from epp.demo.process import Child, running_child
from epp.demo.stack import ENVOY_PORT
from tests.fakes.running import PATIENCE_S


def demo(*flags: str) -> list[str]:
    return [sys.executable, "-m", "epp", "demo", *flags]


async def lines_until(lines: list[str], wanted: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any(wanted in line for line in lines):
            await asyncio.sleep(0.05)


def children_of(parent: int) -> list[Path]:
    """The `/proc` directories of the processes that a process has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [Path(f"/proc/{child}") for task in tasks for child in task.read_text().split()]


@pytest.mark.parametrize("mode", ["buffered", "full-duplex"])
async def test_demo_with_traffic_ends_by_itself_without_an_error(mode: str) -> None:
    lines: list[str] = []
    async with running_child("demo", demo("--body-mode", mode, "--traffic", "--duration", "2s"), lines.append) as child:
        async with asyncio.timeout(PATIENCE_S):
            assert await child.process.wait() == 0
    text = "\n".join(lines)
    assert re.search(r"^\d+ requests, 0 errors$", text, re.MULTILINE)
    assert re.search(r"^/v1/chat/completions +-> default/127\.0\.0\.1:\d+ .* prefix +9\d%$", text, re.MULTILINE)


async def test_demo_takes_other_ports_where_its_own_are_taken() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            # Something else may have it already, which will do.
            taken.bind((HOST, ENVOY_PORT))
            taken.listen()
        lines: list[str] = []
        async with running_child("demo", demo(), lines.append) as child:
            await lines_until(lines, "curl -i")
            (line,) = [line for line in lines if "curl -i" in line]
            url = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert url is not None
            assert int(url[1]) != ENVOY_PORT
            assert await exit_code_after_ctrl_c(child) == 0


async def exit_code_after_ctrl_c(child: Child) -> int:
    child.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        return await child.process.wait()


async def test_ctrl_c_stops_every_part() -> None:
    lines: list[str] = []
    async with running_child("demo", demo("--traffic"), lines.append) as child:
        await lines_until(lines, "curl -i")
        parts = children_of(child.process.pid)
        assert len(parts) == 3
        assert all(part.exists() for part in parts)
        assert await exit_code_after_ctrl_c(child) == 0
        assert not any(part.exists() for part in parts)
    assert lines[-1] == "stopped"


async def test_part_that_crashes_ends_the_demo_and_is_named() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*demo(), stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        await process.stdout.readuntil(b"curl -i")
        (picker,) = [part for part in children_of(process.pid) if b"serve" in (part / "cmdline").read_bytes()]
        os.kill(int(picker.name), signal.SIGKILL)
        output, _ = await process.communicate()
    assert process.returncode == 2
    assert b"epp: epp serve ended with exit code -9" in output
    assert b"Traceback" not in output
