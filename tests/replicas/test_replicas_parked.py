"""Calls that wait for their client in one replica go on, whichever replica the client's next request reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from databases import new_database
from fleet import Fleet
from ledger_parts import POLICIES
from raw_client import Modern, Reply, pool
from recorder import Nursery, Shop, shops

ANSWER = {"action": "accept", "content": {}}


@pytest.fixture(scope="module")
def fleet(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Shop]]:
    """In front of a tool that asks in the legacy era, so that its call has to wait."""
    folder = tmp_path_factory.mktemp("parked")
    with new_database() as url, shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\nera = "legacy"\n'
        policies = {name: POLICIES[name] for name in ("worker.toml", "other.toml")}
        with Fleet(folder, url, servers, policies, names=("one", "two")) as made:
            yield made, shop


@pytest.fixture
async def agents(fleet: tuple[Fleet, Shop]) -> AsyncIterator[list[Modern]]:
    async with pool() as session:
        yield fleet[0].client(session, "worker").agents


async def asked(agent: Modern, text: str) -> dict[str, Any]:
    """The result of a call that waits for an answer."""
    reply = await agent.call("shop__ask", {"text": text})
    assert reply.result["resultType"] == "input_required", reply
    return reply.result


async def answer(agent: Modern, text: str, waits: dict[str, Any], **headers: str) -> Reply:
    told = {"requestState": waits["requestState"], "inputResponses": dict.fromkeys(waits["inputRequests"], ANSWER)}
    there = Modern(agent.session, agent.url, {**agent.headers, **headers})
    return await there.request("tools/call", {"name": "shop__ask", "arguments": {"text": text}, **told})


async def test_a_client_that_comes_back_to_another_replica_is_passed_on(
    fleet: tuple[Fleet, Shop], agents: list[Modern]
) -> None:
    one, two = agents
    waits = await asked(one, "passed")
    reply = await answer(two, "passed", waits)
    assert reply.text == "passed"
    assert sum(line["text"] == "passed" for line in fleet[1].executions()) == 1
    again = await answer(two, "passed", waits)
    assert again.message["error"]["message"].startswith("Invalid or expired requestState")


async def test_a_request_is_passed_on_once_only(fleet: tuple[Fleet, Shop], agents: list[Modern]) -> None:
    one, two = agents
    waits = await asked(one, "once")
    reply = await answer(two, "once", waits, **{"Toolgate-Forwarded": "somebody"})
    assert reply.message["error"]["message"].startswith("Invalid or expired requestState")
    assert (await answer(one, "once", waits)).text == "once"


async def test_a_replica_that_nobody_knows_is_not_asked(fleet: tuple[Fleet, Shop], agents: list[Modern]) -> None:
    waits = {"requestState": "parked.127.0.0.1:1.x", "inputRequests": {}}
    reply = await answer(agents[0], "nobody", waits)
    assert reply.message["error"]["message"].startswith("Invalid or expired requestState")


async def test_another_agent_that_has_the_state_gets_nothing(fleet: tuple[Fleet, Shop], agents: list[Modern]) -> None:
    one, two = agents
    waits = await asked(one, "mine")
    stranger = Modern(two.session, two.url, fleet[0].headers("other"))
    refused = await answer(stranger, "mine", waits)
    assert refused.message["error"]["message"].startswith("Invalid or expired requestState")
    assert (await answer(one, "mine", waits)).text == "mine"


async def test_the_state_of_a_replica_that_is_gone_is_stale(fleet: tuple[Fleet, Shop], agents: list[Modern]) -> None:
    one, two = agents
    waits = await asked(two, "gone")
    fleet[0][1].kill()
    reply = await answer(one, "gone", waits)
    assert reply.message["error"]["message"].startswith("Invalid or expired requestState")
    await asyncio.to_thread(fleet[0][1].start)
