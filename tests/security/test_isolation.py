"""Many agents on the same upstreams: each gets its own, and nothing of another's is of any use to it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from raw_client import Legacy, Modern, Reply, eventually, pool
from recorder import TOOLS, Nursery, shops

pytestmark = pytest.mark.xdist_group("isolation")  # one gateway for all of them

RECORDER = Path(__file__).parents[1] / "recorder.py"
AGENTS = [f"agent-{number}" for number in range(20)]
CALLS, IN_FLIGHT = 100, 15
"""Calls of each agent, all agents with the same ids; so many at once of each agent, all agents at once."""
SERVERS = ("old", "new", "pipe")
ABSENT = "0123456789abcdef0123456789abcdef"
FEW = "few"
"""An agent that sees one tool only."""


def policy(agent: str, tool: str) -> str:
    rules = f'[[allow]]\ntool = "{tool}"\n[[deny]]\ntool = "toolgate/*"\n'
    return f'agent = "{agent}"\ndescription = "Calls."\n{rules}'


@pytest.fixture(scope="module")
def gateway(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("isolation")
    policies = {f"{agent}.toml": policy(agent, "*/*") for agent in AGENTS} | {"few.toml": policy(FEW, "old/ask")}
    with shops(nursery, folder, "old", "new") as (old, new):
        arguments = json.dumps([str(RECORDER), "pipe", str(folder / "pipe.jsonl")])
        servers = (
            f'[servers.old]\nurl = "{old.url}"\nera = "legacy"\nmax_concurrent = 300\n'
            f'[servers.new]\nurl = "{new.url}"\nera = "modern"\nmax_concurrent = 300\n'
            f'[servers.pipe]\ncommand = "{sys.executable}"\nargs = {arguments}\nera = "legacy"\nmax_concurrent = 300\n'
        )
        with GatewayProcess(folder, servers, policies, settings="page_size = 2") as running:
            yield running


@pytest.fixture(scope="module")
def headers(gateway: GatewayProcess) -> dict[str, dict[str, str]]:
    return {agent: gateway.headers(agent) for agent in (*AGENTS, FEW)}


async def test_two_thousand_concurrent_calls_with_equal_ids_are_all_answered_to_whom_they_belong(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]]
) -> None:
    async with pool() as session:

        async def check(client: Modern | Legacy, agent: str, number: int) -> None:
            server = SERVERS[number % len(SERVERS)]
            text = f"{agent} {number}"
            reply = await client.call(f"{server}__note", {"text": text, "delay": 0.05}, id=number)
            assert reply.ok and reply.text == text and reply.message["id"] == number, reply

        async def calls(agent: str, position: int) -> None:
            client = (Modern, Legacy)[position % 2](session, gateway.url(), headers[agent])
            if isinstance(client, Legacy):
                await client.open()
            todo = iter(range(CALLS))

            async def caller() -> None:
                for number in todo:
                    await check(client, agent, number)

            await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))

        await asyncio.gather(*(calls(agent, position) for position, agent in enumerate(AGENTS)))


async def test_the_session_of_another_agent_is_as_good_as_none(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]]
) -> None:
    async with pool() as session:
        owner = Legacy(session, gateway.url(), headers[AGENTS[0]])
        await owner.open()
        thief = Legacy(session, gateway.url(), headers[AGENTS[1]], dict(owner.extra))
        guesser = Legacy(session, gateway.url(), headers[AGENTS[1]], {**owner.extra, "Mcp-Session-Id": ABSENT})
        for method in ("ping", "tools/list", "tools/call"):
            stolen, guessed = await thief.request(method, {}), await guesser.request(method, {})
            assert (stolen.status, stolen.raw) == (guessed.status, guessed.raw) and stolen.status == 404
        for method in ("GET", "DELETE"):
            stolen, guessed = await bare(thief, method), await bare(guesser, method)
            assert stolen == guessed and stolen[0] == 404
        assert (await owner.call("new__note", {"text": "mine"})).text == "mine"


async def bare(client: Legacy, method: str) -> tuple[int, bytes]:
    accept = {"Accept": "application/json, text/event-stream"}
    async with client.session.request(
        method, client.url, headers={**accept, **client.headers, **client.extra}
    ) as response:
        return response.status, await response.read()


async def test_the_cursor_of_another_agent_opens_nothing(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]]
) -> None:
    async with pool() as session:
        owner = Modern(session, gateway.url(), headers[AGENTS[0]])
        other = Modern(session, gateway.url(), headers[FEW])
        page = (await owner.request("tools/list", {})).result
        assert len(page["tools"]) == 2
        assert len((await owner.request("tools/list", {"cursor": page["nextCursor"]})).result["tools"]) == 2
        stolen = await other.request("tools/list", {"cursor": page["nextCursor"]})
        guessed = await other.request("tools/list", {"cursor": "bm9uZQ=="})
        assert (stolen.status, stolen.raw) == (guessed.status, guessed.raw) and stolen.status == 400
        seen = [await every_tool(agent) for agent in (owner, other)]
        of_servers = [[name for name in names if not name.startswith("toolgate__")] for names in seen]
        assert [len(names) for names in of_servers] == [len(SERVERS) * len(TOOLS), 1]


async def every_tool(agent: Modern) -> list[str]:
    names: list[str] = []
    fields: dict[str, Any] = {}
    while True:
        page = (await agent.request("tools/list", fields)).result
        names += [tool["name"] for tool in page["tools"]]
        if "nextCursor" not in page:
            return names
        fields = {"cursor": page["nextCursor"]}


async def test_the_question_of_another_agents_call_cannot_be_answered(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]]
) -> None:
    asked = {"name": "old__ask", "arguments": {"text": "done"}}

    async def answer(agent: Modern, state: str, names: list[str]) -> Reply:
        answers = {name: {"action": "accept", "content": {}} for name in names}
        return await agent.request("tools/call", {**asked, "inputResponses": answers, "requestState": state})

    async with pool() as session:
        owner, thief = (Modern(session, gateway.url(), headers[agent]) for agent in (AGENTS[0], FEW))
        parked = (await owner.request("tools/call", asked)).result
        assert parked["resultType"] == "input_required"
        state, names = parked["requestState"], list(parked["inputRequests"])
        stolen, guessed = await answer(thief, state, names), await answer(thief, f"parked.{ABSENT}", names)
        assert (stolen.status, stolen.raw) == (guessed.status, guessed.raw) and stolen.status == 400
        mine = await answer(owner, state, names)
        assert mine.ok and mine.text == "done"
        again = await answer(owner, state, names)
        assert again.status == 400, "an answer was taken twice"


async def test_one_agents_open_stream_hears_nothing_of_anothers_calls(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]]
) -> None:
    async with pool() as session:
        listener = Modern(session, gateway.url(), headers[FEW])
        heard: list[str] = []
        ready = asyncio.Event()
        stream = asyncio.create_task(listener.listen(heard, ready))
        await asyncio.wait_for(ready.wait(), 5)
        owner = Modern(session, gateway.url(), headers[AGENTS[0]])
        for server in SERVERS:
            assert (await owner.call(f"{server}__note", {"text": "private"}, progressToken=1)).ok
        await eventually(lambda: heard, 5)
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        assert heard == ["notifications/subscriptions/acknowledged"]


@pytest.mark.parametrize("odd", ["\ud800", "\x00", "x" * 100_000])
async def test_text_that_no_database_takes_harms_only_the_agent_that_sends_it(
    gateway: GatewayProcess, headers: dict[str, dict[str, str]], odd: str
) -> None:
    async with pool() as session:
        sender = Legacy(session, gateway.url(), headers[AGENTS[0]])
        await sender.open()
        other = Modern(session, gateway.url(), headers[AGENTS[1]])
        note = {"name": "new__note", "arguments": {"text": "odd"}}
        attempts = [
            {**note, "name": f"new__{odd}"},
            {**note, "_meta": {"toolgate/run": odd}},
            {**note, "arguments": {"text": odd, odd: odd, "number": 2**70}},
        ]
        jobs = [sender.request("tools/call", attempt, id=number) for number, attempt in enumerate(attempts * 5)]
        sent = asyncio.gather(*jobs)
        replies = await asyncio.gather(*(other.call("old__note", {"text": "well"}) for _ in range(50)))
        assert all(reply.ok for reply in replies)
        assert {reply.status for reply in await sent} <= {200, 400}
        assert not [reply for reply in await sent if reply.reason in ("unexpected", "unrecorded")]
