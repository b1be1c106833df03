"""Through a running gateway: what an agent is shown of bound arguments, and what the tool receives."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from raw_client import Legacy, Modern, pool
from recorder import Nursery, Shop, shops

pytestmark = pytest.mark.xdist_group("bound")  # one gateway for all of them

POLICY = """
agent = "desk"
description = "Notes for one customer."

[[allow]]
tool = "shop/note"
bind = { text = "claims.customer", delay = { const = 0 } }
"""


@dataclass(frozen=True, slots=True)
class Desk:
    gateway: GatewayProcess
    shop: Shop

    def headers(self, **claims: str | float | bool) -> dict[str, str]:
        with self.gateway.tokens() as tokens:
            token, _ = tokens.create("desk", expires=None, now=time.time(), claims=claims)
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("bound")
    with Nursery() as nursery, shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n'
        with GatewayProcess(folder, servers, {"desk.toml": POLICY}) as gateway:
            yield Desk(gateway, shop)


@pytest.mark.parametrize("era", [Modern, Legacy])
async def test_bound_arguments_are_not_shown_and_come_from_the_token(desk: Desk, era: type[Modern | Legacy]) -> None:
    async with pool() as session:
        client = era(session, desk.gateway.url(), desk.headers(customer="C-7"))
        if isinstance(client, Legacy):
            await client.open()
        (tool,) = (await client.request("tools/list", {})).result["tools"]
        assert tool["inputSchema"]["properties"].keys() == {"card_token", "amount", "currency"}
        reply = await client.call("shop__note", {})
        assert reply.ok
        assert desk.shop.executions()[-1]["text"] == "C-7"


async def test_a_caller_cannot_say_who_it_is_itself(desk: Desk) -> None:
    before = len(desk.shop.executions())
    async with pool() as session:
        client = Modern(session, desk.gateway.url(), desk.headers(customer="C-7"))
        reply = await client.call("shop__note", {"text": "C-8"})
    assert reply.reason == "denied"
    assert "text: the gateway fills it in, so leave it out" in reply.text
    assert len(desk.shop.executions()) == before


async def test_a_token_without_the_claim_calls_nothing_and_is_told_so(desk: Desk) -> None:
    before = len(desk.shop.executions())
    async with pool() as session:
        reply = await Modern(session, desk.gateway.url(), desk.headers(level=3)).call("shop__note", {})
    assert reply.reason == "no_claim"
    assert len(desk.shop.executions()) == before


async def test_a_claim_that_does_not_fit_the_tool_is_refused_before_the_tool_runs(desk: Desk) -> None:
    before = len(desk.shop.executions())
    async with pool() as session:
        reply = await Modern(session, desk.gateway.url(), desk.headers(customer=7)).call("shop__note", {})
    assert reply.reason == "invalid_arguments"
    assert len(desk.shop.executions()) == before


async def test_the_log_tells_what_was_filled_in(desk: Desk) -> None:
    async with pool() as session:
        assert (await Modern(session, desk.gateway.url(), desk.headers(customer="C-9")).call("shop__note", {})).ok
    path: Path = desk.gateway.config.parent / "var" / "toolgate.db"
    connection = sqlite3.connect(path)
    query = "SELECT data FROM events WHERE kind = 'intent' ORDER BY seq DESC LIMIT 1"
    data = json.loads(connection.execute(query).fetchone()[0])
    connection.close()
    assert data["arguments"] == {"text": "C-9", "delay": 0}
    assert data["bound"] == ["delay", "text"]
