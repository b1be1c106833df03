"""Upstreams that say their credential in every spelling, at every place: nobody can read it anywhere."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway_process import GatewayProcess
from parrot import PLACES
from processes import free_port, listening, running
from raw_client import Legacy, Modern, Reply, pool
from spellings import SPELLINGS, readable

pytestmark = pytest.mark.xdist_group("guard")  # one gateway for all of them

PARROT = Path(__file__).with_name("parrot.py")
AGENTS = ("ada", "bob")
ERAS = {"old": "legacy", "new": "modern", "pipe": "legacy"}
TWICE = {("spread", "lines in json")}
"""Codes within codes, which are not promised to be seen through."""
ARGUMENT = {"name": "how", "value": ""}
LEVEL = {"io.modelcontextprotocol/logLevel": "debug", "progressToken": "p"}

numbers = count(1)


def secret(server: str, agent: str) -> str:
    return f'{server}.{agent}/Zx9+?&<"q~7c1e'


SECRETS = [secret(server, agent) for server in ERAS for agent in (*AGENTS, "gateway")]


def policy(agent: str) -> str:
    rules = "".join(f'[[allow]]\n{kind} = "*/*"\n' for kind in ("tool", "resource", "prompt"))
    rules += '[[deny]]\ntool = "toolgate/*"\n'
    return f'agent = "{agent}"\ndescription = "Listens."\n{rules}'


def table(server: str, place: str) -> str:
    """A server with a credential of its own for each agent, and one for the gateway."""
    stdio = server == "pipe"
    key, holder, scheme = ("SECRET", "env", "") if stdio else ("Authorization", "headers", "Bearer ")

    def value(agent: str) -> str:
        return f'{{ {key} = "{scheme}${{{server}_{agent}}}" }}'

    rows = "".join(f"{agent} = {value(agent)}\n" for agent in AGENTS)
    return (
        f'[servers.{server}]\n{place}\nera = "{ERAS[server]}"\n{holder} = {value("gateway")}\n'
        f"[servers.{server}.credentials]\n{rows}"
    )


@dataclass(frozen=True, slots=True)
class Aviary:
    gateway: GatewayProcess
    folder: Path
    headers: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def aviary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aviary]:
    folder = tmp_path_factory.mktemp("aviary")
    places = {"pipe": f'command = "{sys.executable}"\nargs = {json.dumps([str(PARROT)])}'}
    with ExitStack() as stack:
        for server in ("old", "new"):
            port = free_port()
            command = (sys.executable, str(PARROT), "--port", str(port))
            stack.enter_context(running(command, lambda port=port: listening(port), folder / f"{server}.log"))
            places[server] = f'url = "http://127.0.0.1:{port}/mcp"'
        servers = "[throttle]\nburst = 100000\n" + "".join(table(name, place) for name, place in places.items())
        environ = {f"{server}_{agent}": secret(server, agent) for server in ERAS for agent in (*AGENTS, "gateway")}
        policies = {f"{agent}.toml": policy(agent) for agent in AGENTS}
        gateway = stack.enter_context(GatewayProcess(folder, servers, policies, environ=environ))
        yield Aviary(gateway, folder, {agent: gateway.headers(agent) for agent in AGENTS})


@pytest.fixture
async def clients(aviary: Aviary) -> AsyncIterator[list[tuple[str, Modern | Legacy]]]:
    """An agent's client of each era on the face of each server, with the secret its calls carry."""
    async with pool() as session:
        made: list[tuple[str, Modern | Legacy]] = []
        for server in ERAS:
            for agent in AGENTS:
                url, headers = aviary.gateway.url(f"/mcp/{server}"), aviary.headers[agent]
                legacy = Legacy(session, url, headers)
                await legacy.open()
                made += [(secret(server, agent), Modern(session, url, headers)), (secret(server, agent), legacy)]
        yield made


async def ask(client: Modern | Legacy, method: str, params: dict[str, Any]) -> Reply:
    """With a progress token, and wishing for all log messages there are."""
    if isinstance(client, Modern):
        return await client.request(method, params, **LEVEL)
    number = next(numbers)
    return await client.request(method, {**params, "_meta": {"progressToken": number}}, id=number)


@pytest.mark.parametrize("place", PLACES)
async def test_no_spelling_of_a_credential_leaves_a_tool(clients: list[Any], place: str) -> None:
    """Each client has every third spelling: together those of a server have all of them."""
    for turn, (key, client) in enumerate(clients):
        for how in [*SPELLINGS][turn % 3 :: 3]:
            if (place, how) in TWICE:
                continue
            reply = await ask(client, "tools/call", {"name": "say", "arguments": {"how": how, "where": place}})
            assert reply.status == 200 and reply.message, (how, reply)
            assert b"toolgate" in reply.raw or b"withheld" in reply.raw, (how, reply.raw)
            assert readable(reply.raw, key) == [], (how, reply.raw)


async def test_no_spelling_of_a_credential_leaves_a_resource_a_prompt_or_a_completion(clients: list[Any]) -> None:
    async def listen(key: str, client: Modern | Legacy) -> None:
        asked = [("completion/complete", {"ref": {"type": "ref/prompt", "name": "how"}, "argument": ARGUMENT})]
        for how in SPELLINGS:
            asked.append(("resources/read", {"uri": f"parrot://{how}"}))
            asked.append(("prompts/get", {"name": "how", "arguments": {"how": how}}))
        for method, params in asked:
            reply = await ask(client, method, params)
            assert "masked by toolgate" in str(reply.result), (method, params, reply)
            assert readable(reply.raw, key) == [], (method, params, reply.raw)

    await asyncio.gather(*(listen(key, client) for key, client in clients))


async def test_a_credential_is_masked_in_a_question_to_the_client(clients: list[Any]) -> None:
    """Of modern clients only: a legacy one would have to answer while its request runs."""
    for key, client in clients:
        if isinstance(client, Modern):
            reply = await ask(client, "tools/call", {"name": "say", "arguments": {"how": "lines", "where": "question"}})
            assert reply.result["resultType"] == "input_required", reply
            assert b"[masked by toolgate]" in reply.raw and readable(reply.raw, key) == [], reply.raw


async def test_what_an_upstream_publishes_is_masked_and_what_it_names_by_a_secret_is_left_out(
    aviary: Aviary, clients: list[Any]
) -> None:
    for _, client in clients:
        replies = [await client.request(f"{kind}/list", {}) for kind in ("tools", "resources", "prompts")]
        if isinstance(client, Modern):
            replies.append(await client.request("server/discover", {}))
        assert [tool["name"] for tool in replies[0].result["tools"]] == ["say", "repeat"]
        for reply in replies:
            assert readable(reply.raw, *SECRETS) == [], reply.raw
    told = await pipe_instructions(aviary)
    assert "masked by toolgate" in told.decode() and readable(told, secret("pipe", "gateway")) == []


async def pipe_instructions(aviary: Aviary) -> bytes:
    async with pool() as session:
        modern = Modern(session, aviary.gateway.url("/mcp/pipe"), aviary.headers["ada"])
        return (await modern.request("server/discover", {})).raw


async def test_nothing_the_gateway_keeps_or_shows_holds_a_credential(aviary: Aviary, clients: list[Any]) -> None:
    """After all of the above, or some of it again where this runs alone."""
    for _, client in clients:
        await ask(client, "tools/call", {"name": "say", "arguments": {"how": "raw", "where": "text"}})
    async with pool() as session, session.get(aviary.gateway.url("/metrics")) as response:
        metrics = await response.read()
    with sqlite3.connect(f"file:{aviary.folder}/var/toolgate.db?mode=ro", uri=True) as database:
        events = database.execute("select * from events").fetchall()
    process = psutil.Process(aviary.gateway.process.pid)
    commands = [each.cmdline() for each in (process, *process.children(recursive=True))]
    shown = {
        "log": aviary.gateway.output.encode(),
        "metrics": metrics,
        "events": "\n".join(str(cell) for event in events for cell in event).encode(),
        "commands": json.dumps(commands).encode(),
    }
    for place, content in shown.items():
        assert readable(content, *SECRETS) == [], place
    files = b"".join(file.read_bytes() for file in (aviary.folder / "var").glob("toolgate.db*"))
    assert [key for key in SECRETS if key.encode() in files] == []


async def test_what_the_guard_did_is_told_to_the_operator(aviary: Aviary, clients: list[Any]) -> None:
    reply = await ask(clients[0][1], "tools/call", {"name": "say", "arguments": {"how": "hex", "where": "text"}})
    assert reply.text == "Your key is [masked by toolgate], keep it."
    with sqlite3.connect(f"file:{aviary.folder}/var/toolgate.db?mode=ro", uri=True) as database:
        rows = database.execute("select call, data from events where kind = 'guard' order by seq desc").fetchall()
    call, data = rows[0][0], json.loads(rows[0][1])
    assert data["masked"] == {"content": 1} and len(data["result"]) == 64
    assert f"old: a secret was in what it said in call {call}" in aviary.gateway.output
    async with pool() as session, session.get(aviary.gateway.url("/metrics")) as response:
        metrics = await response.text()
    assert 'toolgate_guard_total{finding="masked",server="old",tool="say"}' in metrics
    assert 'toolgate_guard_total{finding="withheld",server="old",tool="-"} 1.0' in metrics
