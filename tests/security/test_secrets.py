"""Canaries in every place where a secret lives, and a look at every place where none may be."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from raw_client import Legacy, Modern, Reply, pool
from recorder import HIDDEN_WORDS, Nursery, lines, shops

pytestmark = pytest.mark.xdist_group("secrets")  # one gateway for all of them

RECORDER = Path(__file__).parents[1] / "recorder.py"
AGENTS = ("ada", "bob", "cid")
SERVERS = {"old": "legacy", "new": "modern", "pipe": "legacy"}
CARD = "card-canary-4111"


def credential(server: str, agent: str) -> str:
    return f"Bearer {server}-{agent}-canary"


def policy(agent: str, tools: str = "*/*") -> str:
    return f'agent = "{agent}"\ndescription = "Calls."\n[[allow]]\ntool = "{tools}"\n[[deny]]\ntool = "*/hidden"\n'


def variables() -> dict[str, str]:
    """The secrets, in the gateway's environment; `gateway` is what it lists tools with."""
    made = {f"{server}_{agent}": credential(server, agent) for server in SERVERS for agent in (*AGENTS, "gateway")}
    return {name.upper(): value for name, value in made.items()} | {"UNUSED": "unused-canary"}


def table(server: str, place: str) -> str:
    """One server whose agents each have a credential of their own; `poor` has none."""
    key = "SECRET" if server == "pipe" else "Authorization"
    holder = "env" if server == "pipe" else "headers"
    rows = "".join(f'{agent} = {{ {key} = "${{{server.upper()}_{agent.upper()}}}" }}\n' for agent in AGENTS)
    return (
        f'[servers.{server}]\n{place}\nera = "{SERVERS[server]}"\nmax_concurrent = 1000\n'
        f'{holder} = {{ {key} = "${{{server.upper()}_GATEWAY}}" }}\n'
        f"[servers.{server}.credentials]\n{rows}"
        f'[servers.{server}.tools.pay.arguments]\ncard_token = {{ kind = "secret" }}\n'
    )


@dataclass
class Office:
    """A gateway in front of three servers, and all that was ever answered by it."""

    gateway: GatewayProcess
    folder: Path
    headers: dict[str, dict[str, str]]
    replies: list[Reply] = field(default_factory=list)

    async def call(self, agent: Modern | Legacy, tool: str, arguments: dict[str, Any]) -> Reply:
        reply = await agent.call(tool, arguments)
        self.replies.append(reply)
        return reply

    def executions(self, server: str) -> list[dict[str, Any]]:
        return [line for line in lines(self.folder / f"{server}.jsonl") if "tool" in line]

    def kept(self) -> bytes:
        """Everything the gateway has written: its database with the write-ahead log, and its output."""
        files = [*(self.folder / "var").glob("toolgate.db*"), self.gateway.log]
        return b"".join(file.read_bytes() for file in files)


@pytest.fixture(scope="module")
def office(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    policies = {f"{agent}.toml": policy(agent) for agent in (*AGENTS, "poor")} | {
        "narrow.toml": policy("narrow", "old/note")
    }
    with shops(nursery, folder, "old", "new") as made:
        places = {shop.name: f'url = "{shop.url}"' for shop in made}
        arguments = json.dumps([str(RECORDER), "pipe", str(folder / "pipe.jsonl")])
        places["pipe"] = f'command = "{sys.executable}"\nargs = {arguments}'
        servers = "".join(table(name, place) for name, place in places.items())
        with GatewayProcess(folder, servers, policies, environ=variables()) as gateway:
            headers = {agent: gateway.headers(agent) for agent in (*AGENTS, "poor", "narrow")}
            yield Office(gateway, folder, headers)


async def test_each_call_carries_its_own_agents_credential_and_nothing_of_the_client(office: Office) -> None:
    async with pool() as session:
        agents = {
            name: Modern(
                session, office.gateway.url(), {**office.headers[name], "Cookie": "cookie-canary", "X-Own": "x-canary"}
            )
            for name in AGENTS
        }
        jobs = [
            office.call(agents[agent], f"{server}__note", {"text": f"{agent} {number}"})
            for number in range(50)
            for agent in AGENTS
            for server in SERVERS
        ]
        assert all(reply.ok for reply in await asyncio.gather(*jobs))
    for server in SERVERS:
        executions = [line for line in office.executions(server) if line["text"][:3] in AGENTS]
        assert len(executions) == 150
        assert all(line["secret"] == credential(server, line["text"][:3]) for line in executions)
        seen = json.dumps(lines(office.folder / f"{server}.jsonl"))
        tokens = [headers["Authorization"].removeprefix("Bearer ") for headers in office.headers.values()]
        assert not [word for word in (*tokens, "cookie-canary", "x-canary") if word in seen]


async def test_an_agent_without_a_credential_is_refused_and_nothing_is_sent(office: Office) -> None:
    async with pool() as session:
        poor = Modern(session, office.gateway.url(), office.headers["poor"])
        for server in SERVERS:
            reply = await office.call(poor, f"{server}__note", {"text": "poor"})
            assert reply.reason == "no_credential"
            assert "poor" not in [line["text"] for line in office.executions(server)]


async def test_a_secret_argument_reaches_its_tool_and_is_written_nowhere(office: Office) -> None:
    arguments = {"text": "paid", "card_token": CARD}
    attempts = [
        ("old__pay", arguments),
        ("pipe__pay", arguments),
        ("old__pay", {**arguments, "text": 5}),
        ("old__pay", {**arguments, "card_token": {"deep": [CARD]}}),
        ("old__payy", arguments),
        ("nowhere__pay", arguments),
    ]
    async with pool() as session:
        modern = Modern(session, office.gateway.url(), office.headers["ada"])
        narrow = Modern(session, office.gateway.url(), office.headers["narrow"])
        legacy = Legacy(session, office.gateway.url(), office.headers["ada"])
        await legacy.open()
        replies = [await office.call(client, *attempt) for client in (modern, legacy, narrow) for attempt in attempts]
        await legacy.request("tools/call", {"name": {"x": CARD}, "arguments": arguments})
        await legacy.request("tools/call", {"name": "old__pay", "arguments": [CARD]})
        await modern.request("tools/call", {"name": "old__pay", "arguments": [CARD]})
    assert [reply.ok for reply in replies[:12]] == [True, True, False, False, False, False] * 2
    assert not any(reply.ok for reply in replies[12:])
    assert CARD.encode() not in office.kept()


async def test_no_credential_is_in_any_reply_log_event_metric_or_in_another_servers_hands(office: Office) -> None:
    async with pool() as session:
        for name in AGENTS:
            agent = Modern(session, office.gateway.url(), office.headers[name])
            for server in SERVERS:
                await office.call(agent, f"{server}__note", {"text": name})
            await office.call(agent, "pipe__crash", {"text": name})
        async with session.get(office.gateway.url("/metrics")) as response:
            metrics = await response.read()
    everything = {
        "replies": b"".join(reply.raw for reply in office.replies),
        "kept": office.kept(),
        "metrics": metrics,
    }
    for place, content in everything.items():
        assert [secret for secret in variables().values() if secret.encode() in content] == [], place
    for server in SERVERS:
        seen = (office.folder / f"{server}.jsonl").read_text()
        foreign = [value for value in variables().values() if not value.startswith(f"Bearer {server}-")]
        assert [secret for secret in foreign if secret in seen] == [], server
    environments = [line["environ"] for line in lines(office.folder / "pipe.jsonl") if "environ" in line]
    assert len({environment["SECRET"] for environment in environments}) == len(AGENTS) + 1
    for environment in environments:
        assert sum("canary" in value for value in environment.values()) == 1


async def test_nothing_tells_an_agent_what_a_hidden_tool_is(office: Office) -> None:
    async with pool() as session:
        replies: list[Reply] = []
        for url in (office.gateway.url(), office.gateway.url("/mcp/old")):
            modern = Modern(session, url, office.headers["narrow"])
            legacy = Legacy(session, url, office.headers["narrow"])
            await legacy.open()
            prefix = "old__" if url.endswith("/mcp") else ""
            for client in (modern, legacy):
                for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
                    replies.append(await client.request(method, {}))
                replies += [await client.call(f"{prefix}{tool}", {}) for tool in ("hidden", "pay", "absent")]
            replies.append(await modern.request("server/discover", {}))
    assert not [reply for reply in replies if HIDDEN_WORDS.encode() in reply.raw]
    listed = [tool["name"] for reply in replies for tool in reply.message.get("result", {}).get("tools", [])]
    assert set(listed) == {"old__note", "note"}
    hidden, present, absent = (reply.text for reply in replies[4:7])
    assert hidden.replace("hidden", "?") == present.replace("pay", "?") == absent.replace("absent", "?")
