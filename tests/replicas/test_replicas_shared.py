"""What one replica knows the others know: keys, tickets, tasks, tokens, switches, policies, breakers. Not sessions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
import pytest
from databases import new_database
from fleet import Fleet, metric
from ledger_parts import SERVERS
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from raw_client import Legacy, Modern, eventually, pool
from recorder import Nursery, Shop, shops
from waiting_office import TASKS, ended

SOON = 5.0
"""Seconds within which all have heard: it takes one at most, but others may use the machine too."""
WORKER = """
agent = "worker"
description = "Calls everything."
[[allow]]
tool = "*/*"
[[deny]]
tool = "shop/pay"
"""
BUYER = """
agent = "buyer"
description = "Pays."
[[allow]]
tool = "shop/pay"
gate = { type = "approval" }
[[allow]]
tool = "toolgate/await_approval"
"""


@dataclass(frozen=True, slots=True)
class Place:
    fleet: Fleet
    shop: Shop
    weak: Shop

    def ran(self, text: str) -> int:
        return sum(line["text"] == text for line in self.shop.executions())


@pytest.fixture(scope="module")
def place(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("shared")
    with new_database() as url, shops(nursery, folder, "shop", "weak") as (shop, weak):
        servers = SERVERS.format(url=shop.url) + f'[servers.weak]\nurl = "{weak.url}"\n'
        servers += "[approvals]\nhold = 0.3\n[breaker]\ncooldown = 60\n"
        with Fleet(folder, url, servers, {"worker.toml": WORKER, "buyer.toml": BUYER}) as fleet:
            yield Place(fleet, shop, weak)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with pool() as made:
        yield made


def clients(place: Place, session: aiohttp.ClientSession, agent: str) -> list[Modern]:
    return place.fleet.client(session, agent).agents


async def approve(place: Place, session: aiohttp.ClientSession, replica: int, ticket: str) -> None:
    """As a reviewer's program, at this replica."""
    state = place.fleet.beside()
    token, _ = state.reviewers.create(f"rita{time.monotonic_ns()}", expires=None)
    state.close()
    url, headers = place.fleet[replica].url(f"/api/tickets/{ticket}"), {"Authorization": f"Bearer {token}"}
    shown = await (await session.get(url, headers=headers)).json()
    body = {"fingerprint": shown["fingerprint"], "words": "seen"}
    async with session.post(f"{url}/approve", headers=headers, json=body) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_hundred_calls_with_one_key_are_one_execution(place: Place, session: aiohttp.ClientSession) -> None:
    agents, arguments = clients(place, session, "worker"), {"text": "once", "delay": 0.2}
    calls = [agents[n % 3].call("shop__note", arguments, id=n, **{"toolgate/key": "k"}) for n in range(100)]
    told = Counter(reply.reason for reply in await asyncio.gather(*calls))
    assert place.ran("once") == 1 and told.keys() <= {None, "in_flight"} and told[None] > 0
    after = [await agent.call("shop__note", arguments, **{"toolgate/key": "k"}) for agent in agents]
    assert [reply.text for reply in after] == ["once"] * 3 and place.ran("once") == 1


async def test_a_ticket_is_opened_at_one_decided_at_another_and_redeemed_at_the_third(
    place: Place, session: aiohttp.ClientSession
) -> None:
    one, _, three = clients(place, session, "buyer")
    waits = await one.call("shop__pay", {"text": "gated"})
    ticket = waits.result["_meta"]["toolgate/pending"]
    await approve(place, session, 1, ticket)
    paid = await three.call("toolgate__await_approval", {"ticket": ticket})
    assert paid.text == "gated" and place.ran("gated") == 1
    again = await one.call("toolgate__await_approval", {"ticket": ticket})
    assert again.text == "gated" and place.ran("gated") == 1


async def test_a_call_that_is_held_at_one_goes_on_when_it_is_approved_at_another(
    place: Place, session: aiohttp.ClientSession
) -> None:
    one, *_ = clients(place, session, "buyer")
    opened = (await one.call("shop__pay", {"text": "held"})).result["_meta"]["toolgate/pending"]

    async def wait() -> str | None:
        while (reply := await one.call("toolgate__await_approval", {"ticket": opened})).text != "held":
            pass
        return reply.text

    waiting = asyncio.create_task(wait())
    await approve(place, session, 2, opened)
    async with asyncio.timeout(SOON):
        assert await waiting == "held"
    assert place.ran("held") == 1


async def test_a_task_is_made_at_one_and_ends_at_another(place: Place, session: aiohttp.ClientSession) -> None:
    one, two, three = clients(place, session, "buyer")
    created = (await one.call("shop__pay", {"text": "task", "delay": 0.5}, **TASKS)).result
    assert created["resultType"] == "task"
    await approve(place, session, 1, created["taskId"])
    ends = await asyncio.gather(*(ended(each, created["taskId"]) for each in (three, two, one)))
    assert [each["status"] for each in ends] == ["completed"] * 3
    assert {each["result"]["content"][0]["text"] for each in ends} == {"task"} and place.ran("task") == 1


async def test_a_revoked_token_is_refused_everywhere(place: Place, session: aiohttp.ClientSession) -> None:
    with place.fleet[0].tokens() as tokens:
        token, row = tokens.create("worker", expires=None, now=time.time())
        headers = {"Authorization": f"Bearer {token}"}
        agents = [Modern(session, each.url(), headers) for each in place.fleet.gateways]

        async def all_say(status: int) -> bool:
            return {(await agent.request("tools/list", {})).status for agent in agents} == {status}

        await eventually(lambda: all_say(200), SOON)
        assert tokens.revoke(row.id)
    await eventually(lambda: all_say(401), SOON)


async def test_read_only_mode_is_on_everywhere(place: Place, session: aiohttp.ClientSession) -> None:
    agents, state = clients(place, session, "worker"), place.fleet.beside()

    async def all_say(reason: str | None) -> bool:
        return {(await agent.call("shop__note", {"text": "mode"})).reason for agent in agents} == {reason}

    try:
        state.modes.switch("worker", True, "rita")
        await eventually(lambda: all_say("read_only"), SOON)
        state.modes.switch("worker", False, "rita")
        await eventually(lambda: all_say(None), SOON)
    finally:
        state.close()


async def test_policies_in_force_are_told(place: Place) -> None:
    assert {metric(each, "toolgate_policies_in_force") for each in place.fleet.gateways} == {1}
    file = place.fleet[1].config.parent / "policies" / "worker.toml"
    file.write_text(WORKER + '[[deny]]\ntool = "shop/crash"\n')
    try:
        await eventually(lambda: metric(place.fleet[0], "toolgate_policies_in_force") == 2, 5)
        assert len({each.policy for each in place.fleet.roll().values()}) == 2
    finally:
        file.write_text(WORKER)
    await eventually(lambda: metric(place.fleet[0], "toolgate_policies_in_force") == 1, 5)


async def test_a_breaker_that_opens_at_one_is_open_at_all(place: Place, session: aiohttp.ClientSession) -> None:
    one, _, three = clients(place, session, "worker")
    assert (await three.call("weak__note", {"text": "well"})).ok
    place.weak.kill()
    state = 'toolgate_breaker_state{server="weak"}'

    async def opened() -> bool:
        await one.call("weak__note", {"text": "down"})
        return metric(place.fleet[0], state) == 2

    await eventually(opened, 10)
    await eventually(lambda: all(metric(each, state) == 2 for each in place.fleet.gateways), SOON)
    assert (await three.call("weak__note", {"text": "down"})).reason == "circuit_open"


async def test_a_legacy_session_is_unknown_at_another_replica_and_a_client_makes_a_new_one(
    place: Place, session: aiohttp.ClientSession
) -> None:
    headers = place.fleet.headers("worker")
    legacy = Legacy(session, place.fleet[0].url(), headers)
    await legacy.open()
    assert (await legacy.call("shop__note", {"text": "legacy"})).ok
    elsewhere = Legacy(session, place.fleet[1].url(), headers, legacy.extra)
    assert (await elsewhere.call("shop__note", {"text": "legacy"})).status == 404
    await elsewhere.open()
    assert (await elsewhere.call("shop__note", {"text": "legacy"})).ok


async def test_the_sdk_client_goes_on_at_another_replica_by_connecting_again(place: Place) -> None:
    headers = place.fleet.headers("worker")

    async def call(replica: int) -> Any:
        url = place.fleet[replica].url()
        async with (
            httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30.0)) as http,
            Client(streamable_http_client(url, http_client=http), mode="legacy") as client,
        ):
            return (await client.call_tool("shop__note", {"text": "sdk"})).content[0].text  # type: ignore[union-attr]

    assert [await call(replica) for replica in range(3)] == ["sdk"] * 3
