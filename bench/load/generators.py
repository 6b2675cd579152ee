"""What both programs that send requests have in common."""

import asyncio
import json
import shutil

from load.errors import LoadError

PATH = "/v1/chat/completions"
TEXT = "an endpoint picker "


def require_generators() -> None:
    """Raise `LoadError` when one of the programs is not there."""
    if missing := [name for name in ("wrk", "h2load") if shutil.which(name) is None]:
        raise LoadError(f"{' and '.join(missing)} not found: apt-get install wrk nghttp2-client")


def chat_body(body_bytes: int) -> str:
    """Return a chat request of about so many bytes."""
    content = TEXT * (body_bytes // len(TEXT))
    return json.dumps({"model": "tiny", "messages": [{"role": "user", "content": content}]})


async def output_of(*command: str) -> str:
    """Return what a command prints; raises `LoadError` when it fails."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    printed, _ = await child.communicate()
    if child.returncode:
        raise LoadError(f"{command[0]} ended with {child.returncode}:\n{printed.decode()}")
    return printed.decode()
