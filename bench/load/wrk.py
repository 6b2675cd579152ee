"""`wrk`: requests of which no two have the same prompt."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from load.errors import LoadError
from load.generators import PATH, output_of

CONNECTIONS = 16
PROMPT_BYTES = 960
"""Of each prompt: its number, 120 times, so that prompts share no beginning."""
SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local sent = 0
function init(arguments) sent = tonumber(arguments[1]) end
function request()
  sent = sent + 1
  local prompt = string.rep(string.format("%%07d ", sent), %d)
  return wrk.format(nil, nil, nil, '{"model": "tiny", "messages": [{"role": "user", "content": "' .. prompt .. '"}]}')
end
"""
_REQUESTS = re.compile(r"^\s*(\d+) requests in", re.MULTILINE)


async def send_distinct(url: str, *, first: int, seconds: float) -> int:
    """Send requests for some time, numbered from ``first``; returns how many were answered; raises `LoadError`."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "distinct.lua"
        script.write_text(SCRIPT % (PROMPT_BYTES // 8))
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(script)]
        return read_summary(await output_of("wrk", *options, url + PATH, "--", str(first)))


def read_summary(printed: str) -> int:
    """Return how many requests `wrk` counted; raises `LoadError` when any was not answered, or not with 2xx."""
    found = _REQUESTS.search(printed)
    if found is None or "Non-2xx" in printed or "Socket errors" in printed:
        raise LoadError(f"wrk: not every request was answered with 2xx:\n{printed}")
    return int(found[1])
