"""A tool that goes on when its call is over: what it says then is not for whoever happens to call it next."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from isolation_parts import Square, square
from raw_client import Legacy, Modern, eventually, pool

LOUD = {"io.modelcontextprotocol/logLevel": "debug"}
LATE = {"text": "ada's private word", "late": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with square(tmp_path_factory.mktemp("late"), "sqlite", ["ada", "bob"]) as made:
        yield made


def late(place: Square) -> list[dict[str, Any]]:
    """How the tool's late questions ended."""
    return [line for line in place.lines() if "tool" not in line]


@pytest.mark.parametrize("ending", ["answered", "given up"])
async def test_what_a_tool_says_after_its_call_reaches_no_other_agent(place: Square, ending: str) -> None:
    """Over stdio, where nothing says which call a message is about, and bob's is the only call under way."""
    before = len(late(place))
    async with pool() as session:
        ada = Modern(session, place.gateway.url(), place.headers["ada"])
        bob = Legacy(session, place.gateway.url(), place.headers["bob"])
        await bob.open(elicitation={})
        await bob.request("logging/setLevel", {"level": "debug"})
        if ending == "answered":
            assert (await ada.call("pipe__cry", LATE, **LOUD)).ok
        else:
            call = asyncio.create_task(ada.call("pipe__cry", {**LATE, "delay": 30}, **LOUD))
            await asyncio.sleep(0.5)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        reply = await bob.call("pipe__cry", {"text": "bob's word", "delay": 3.5})
        assert reply.ok and reply.text == "bob's word"
        assert b"private" not in reply.raw
        await eventually(lambda: len(late(place)) > before, 20)
    assert "refused" in late(place)[-1]


async def test_an_agent_that_has_a_process_to_itself_hears_what_it_says(tmp_path: Path) -> None:
    with square(tmp_path, "sqlite", ["ada"]) as place:
        async with pool() as session:
            session._timeout = aiohttp.ClientTimeout(60)
            ada = Modern(session, place.gateway.url(), place.headers["ada"])
            reply = await ada.call("pipe__cry", {**LATE, "delay": 1}, **LOUD)
            assert reply.raw.count(b"notifications/message") > 2
