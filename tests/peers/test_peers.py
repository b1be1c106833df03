"""Foreign servers behind the gateway, foreign clients in front of it: nothing is lost on the way.

Each server runs over stdio, once on its own and once behind the gateway, from the same seed in the same
folder, so that what they answer can be compared whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import clients
import pytest
from gateway_process import GatewayProcess
from mcp.client.client import ConnectMode
from node_programs import INSPECTOR, needs_node
from peers import PEERS, Peer
from processes import finish

pytestmark = needs_node

NAMES = tuple(make.__name__ for make in PEERS)
MODES: tuple[ConnectMode, ...] = ("legacy", "auto", "2026-07-28")
Gateway = tuple[GatewayProcess, dict[str, str]]
INSPECTOR_TIMEOUT = 30.0
"""Seconds for one run of the inspector."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Definitions by tool, answers by call."""

    definitions: dict[str, dict[str, Any]]
    answers: dict[str, dict[str, Any]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Peer]:
    made = {make.__name__: make(tmp_path_factory.mktemp(make.__name__)) for make in PEERS}
    for peer in made.values():
        peer.seed()
    return made


@pytest.fixture(scope="module")
def gateway(peers: dict[str, Peer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway with every peer behind it, and the headers of an agent that may use them all."""
    servers = "\n".join(_server(peer) for peer in peers.values())
    policy = 'agent = "curious"\ndescription = "Uses every tool of every peer."\n'
    policy += "".join(f'[[allow]]\ntool = "{name}/*"\n' for name in peers)
    folder = tmp_path_factory.mktemp("gateway")
    with GatewayProcess(folder, servers, {"curious.toml": policy}) as process:
        yield process, process.headers("curious")


@pytest.fixture(scope="module")
def direct(peers: dict[str, Peer]) -> dict[str, Seen]:
    """What a client of each server itself sees."""

    async def look() -> dict[str, Seen]:
        seen: dict[str, Seen] = {}
        for name, peer in peers.items():
            async with clients.direct(peer) as client:
                seen[name] = Seen(await clients.definitions(client), await clients.answers(client, peer))
        return seen

    return anyio.run(look)


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_cover_every_tool_the_server_has(name: str, peers: dict[str, Peer], direct: dict[str, Seen]) -> None:
    assert direct[name].definitions.keys() == {call.tool for call in peers[name].calls}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
async def test_every_tool_is_listed_as_its_server_defines_it(
    name: str, mode: ConnectMode, direct: dict[str, Seen], gateway: Gateway
) -> None:
    process, headers = gateway
    async with clients.through(process.url(f"/mcp/{name}"), headers, mode) as client:
        through = await clients.definitions(client)
    assert through == direct[name].definitions


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
async def test_every_call_answers_as_it_does_without_the_gateway(
    name: str, mode: ConnectMode, peers: dict[str, Peer], direct: dict[str, Seen], gateway: Gateway
) -> None:
    process, headers = gateway
    async with clients.through(process.url(f"/mcp/{name}"), headers, mode) as client:
        through = await clients.answers(client, peers[name])
    assert through == direct[name].answers


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_the_tools_of_all_servers(era: str, peers: dict[str, Peer], gateway: Gateway) -> None:
    listed = inspect(gateway, "/mcp", era, "tools/list")
    expected = {f"{peer.name}__{call.tool}" for peer in peers.values() for call in peer.calls}
    assert {tool["name"] for tool in listed["tools"]} == expected


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_calls_a_tool(era: str, gateway: Gateway) -> None:
    call = ("--tool-name", "everything__get-sum", "--tool-args-json", '{"a": 2, "b": 3}')
    answered = inspect(gateway, "/mcp", era, "tools/call", *call)
    assert answered["content"] == [{"type": "text", "text": "The sum of 2 and 3 is 5."}]


def inspect(gateway: Gateway, path: str, era: str, method: str, *arguments: str) -> dict[str, Any]:
    """What the inspector's command line prints for one request."""
    process, headers = gateway
    command = [*INSPECTOR, "--cli", process.url(path), "--transport", "http", "--protocol-era", era]
    command += ["--format", "json", "--method", method, *arguments]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    ran = finish(command, INSPECTOR_TIMEOUT)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)["result"]
    return result


def _server(peer: Peer) -> str:
    """The peer as a table of gateway.toml; a JSON string or list is TOML as well."""
    command, *arguments = peer.command
    environ = "".join(f"{name} = {json.dumps(value)}\n" for name, value in peer.environ.items())
    return (
        f"[servers.{peer.name}]\ncommand = {json.dumps(command)}\nargs = {json.dumps(arguments)}\n"
        f"[servers.{peer.name}.env]\n{environ}"
    )
