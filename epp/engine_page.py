"""The engine's metrics page that ``epp check-config --against`` names: fetched or read, and known for what it is."""

import os
import re
from pathlib import Path

import aiohttp

from epp.plugin import ConfigurationError

TIMEOUT_S = 5.0
_SAMPLE = re.compile(
    rb"^[a-zA-Z_:][\w:]*(\{.*\})? +[-+]?(\d[\d.]*(e[-+]?\d+)?|nan|inf)( +-?\d+)?( *#.*)?\r?$",
    re.MULTILINE | re.IGNORECASE,
)
"""A line such as ``vllm:num_requests_waiting{engine="0"} 3.0``."""


async def page_of(where: str) -> bytes:
    """Return a metrics page, from a URL or a file; raises `ConfigurationError` for what is none, or cannot be had."""
    page = await _fetch(where) if "://" in where else _read(where)
    if not _SAMPLE.search(page):
        raise _refusal(where, 'is no metrics page: no line of it is like `name 1` or `name{label="value"} 1`')
    return page


async def _fetch(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise _refusal(url, "must begin with http:// or https://, or be a file")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url, raise_for_status=True) as response:
            return await response.read()
    except aiohttp.InvalidURL as error:
        raise _refusal(url, "is no URL") from error
    except aiohttp.ClientConnectorError as error:
        raise _refusal(url, f"cannot be reached: {_reason(error.os_error)}") from error
    except aiohttp.ClientResponseError as error:
        raise _refusal(url, f"answers {error.status} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _refusal(url, f"gives no page: {str(error) or 'no answer in time'}") from error


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from error


def _reason(error: OSError) -> str:
    """Return why there is no connection: asyncio's own words repeat where to."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def _refusal(where: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"--against {where}: {why}")
