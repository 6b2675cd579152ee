"""The public API, as authors' code in `tests/typing/api.py` uses it."""

import ast
import asyncio
import runpy
from pathlib import Path
from typing import Any, Protocol

import pytest

import epp.plugin
from epp.plugin import FetchError
from epp.plugin.testing import make_endpoint
from epp.workshop import Role

API = Path(__file__).parents[1] / "typing" / "api.py"


def protocols() -> set[str]:
    exported: dict[str, Any] = {name: getattr(epp.plugin, name) for name in epp.plugin.__all__}
    return {name for name, one in exported.items() if isinstance(one, type) and Protocol in one.__bases__}


def test_there_is_author_code_for_every_protocol() -> None:
    annotated = {
        node.annotation.id
        for node in ast.parse(API.read_text()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Name)
    }
    assert annotated == protocols()


def test_every_protocol_is_a_role_but_the_one_that_only_connects() -> None:
    members = {
        frozenset(name for name in vars(getattr(epp.plugin, protocol)) if not name.startswith("_"))
        for protocol in protocols()
    }
    assert members == {frozenset(role.members) for role in Role} | {frozenset({"connect"})}


def test_author_code_runs() -> None:
    names = runpy.run_path(str(API))
    first, second = make_endpoint("pod-1", waiting=1), make_endpoint("pod-2")
    request = epp.plugin.testing.make_request()
    assert names["a_filter"].filter(request, [first, second]) == [second]
    assert names["a_scorer"].score(request, [first]) == [0.0]

    async def pages() -> bytes:
        async with names["a_data_source"].open_pages() as fetch:
            with pytest.raises(FetchError):
                await fetch(make_endpoint(port=1))
            page: bytes = await fetch(first)
            return page

    assert names["an_extractor"].read_load(first, asyncio.run(pages())).load.waiting == 3
