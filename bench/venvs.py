"""Virtual environments of their own for programs that do not get along with the picker's dependencies."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TORCH = "torch==2.13.0"
"""Both GuideLLM and vLLM want it, and it has to be there before them: left to themselves they bring a CUDA build."""
TINY = Path(__file__).parent / "tiny"


def run(*command: str | Path) -> str:
    """Run a command, say so, and return what it printed; raises `subprocess.CalledProcessError`."""
    words = [str(word) for word in command]
    print("+", " ".join(word for word in words if "\n" not in word), flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def make_venv(directory: Path, *, steps: Sequence[Sequence[str]]) -> Path:
    """Return the Python of a virtual environment after some ``pip`` calls; one that is complete is left alone."""
    python = directory / "bin" / "python"
    stamp = directory / "complete.txt"
    wanted = "\n".join(" ".join(step) for step in steps)
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    run(sys.executable, "-m", "venv", "--clear", directory)
    for step in steps:
        run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *step)
    stamp.write_text(wanted)
    return python


def make_once(python: Path, script: str, directory: Path, *, proof: str) -> Path:
    """Run a script of ``bench/tiny`` that fills a directory, unless ``proof`` is there already."""
    if not (directory / proof).is_file():
        run(python, TINY / script, directory)
    return directory
