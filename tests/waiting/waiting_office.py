"""What the tests of waiting share: a gateway before tills, and the reviewer who decides beside it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import mcp.types as t
from gateway_process import GatewayProcess
from mcp import Client
from mcp.client.client import ConnectMode
from mcp.client.streamable_http import streamable_http_client
from raw_client import Modern, Reply, eventually, pool
from recorder import lines

from gateway.approvals import Ticket
from gateway.config import load
from gateway.state import State

TILL = Path(__file__).parent / "waiting_till.py"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
TASKS = {CAPABILITIES: {"elicitation": {"form": {}}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}
"""What the `_meta` of a client that can be answered with tasks says."""
SOON = 10.0
"""Seconds for what is expected at once."""
POLICY = """
agent = "{agent}"
description = "Pays."
[[allow]]
tool = "till/pay"
gate = {{ type = "approval", words = "Is it due?" }}
[[allow]]
tool = "*/confirm"
gate = {{ type = "approval" }}
[[allow]]
tool = "till/refund"
where = {{ amount = {{ maximum = 500 }} }}
gate = {{ type = "confidence", threshold = 0.8 }}
[[allow]]
tool = "till/count"
[[allow]]
tool = "toolgate/*"
"""


@dataclass(frozen=True, slots=True)
class Office:
    """A running gateway, its folder, and its state opened beside it as the command line does."""

    gateway: GatewayProcess
    folder: Path
    state: State
    headers: Mapping[str, str]

    def executions(self, till: str = "till") -> list[dict[str, Any]]:
        return [line for line in lines(self.folder / f"{till}.jsonl") if "tool" in line]

    def paid(self, amount: int) -> list[dict[str, Any]]:
        """The executions with this amount: each test has its own."""
        found = [*self.executions(), *self.executions("attic")]
        return [line for line in found if line["arguments"].get("amount") == amount]

    def decide(self, ticket: str, verdict: Any = "approve", **more: Any) -> Ticket:
        """As a reviewer at the command line."""
        work = partial(self.state.approvals.decide, ticket=ticket, reviewer="rita", verdict=verdict, **more)
        return self.state.store.run(work)

    def get(self, ticket: str) -> Ticket:
        found = self.state.approvals.get(ticket)
        assert found is not None
        return found

    def asked(self, amount: int, states: tuple[str, ...] = ("pending",)) -> list[Ticket]:
        """The tickets of calls with this amount."""
        found = self.state.approvals.find(states=states)
        return [ticket for ticket in found if ticket.given.get("amount") == amount]

    async def ticket(self, amount: int, seconds: float = SOON) -> Ticket:
        """The ticket of the call with this amount, once there is one."""
        await eventually(lambda: self.asked(amount), seconds)
        (ticket,) = self.asked(amount)
        return ticket

    @asynccontextmanager
    async def client(self, mode: ConnectMode = "2026-07-28", path: str = "/mcp", **more: Any) -> AsyncIterator[Client]:
        """The SDK's client."""
        async with (
            httpx2.AsyncClient(headers=dict(self.headers), timeout=httpx2.Timeout(30.0)) as http,
            Client(streamable_http_client(self.gateway.url(path), http_client=http), mode=mode, **more) as client,
        ):
            yield client

    @asynccontextmanager
    async def raw(self, path: str = "/mcp", agent: str | None = None) -> AsyncIterator[Modern]:
        headers = self.headers if agent is None else self.gateway.headers(agent)
        async with pool() as session:
            yield Modern(session, self.gateway.url(path), headers)


@contextmanager
def office(folder: Path, *, hold: float, progress: float = 0.2, settings: str = "") -> Iterator[Office]:
    """A gateway before a modern till `till` and a legacy one `attic`, with two agents of the same rights."""
    environ = f"PYTHONPATH = {json.dumps(str(TILL.parent.parent))}"
    tables = f"[approvals]\nhold = {hold}\nprogress = {progress}\n{settings}\n"
    for name, era in (("till", "modern"), ("attic", "legacy")):
        arguments = json.dumps([str(TILL), name, str(folder / f"{name}.jsonl")])
        tables += f"[servers.{name}]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"
        tables += f'era = "{era}"\nenv = {{ {environ} }}\n'
    policies = {f"{agent}.toml": POLICY.format(agent=agent) for agent in ("ada", "bob")}
    with GatewayProcess(folder, tables, policies) as gateway:
        state = State(load(gateway.config, os.environ))
        try:
            yield Office(gateway, folder, state, gateway.headers("ada"))
        finally:
            state.close()


@dataclass(slots=True)
class Progress:
    """What a client heard while it waited."""

    heard: list[tuple[float, str | None]] = field(default_factory=list)

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append((progress, message))


async def task(client: Modern, method: str, ticket: str, *, meta: Mapping[str, Any] = TASKS, **params: Any) -> Reply:
    """One request about a task, by a client that declares the extension unless `meta` says otherwise."""
    return await client.request(f"tasks/{method}", {"taskId": ticket, **params}, **meta)


async def ended(client: Modern, ticket: str) -> dict[str, Any]:
    """The task once its status is final, polled as a client would."""
    seen: dict[str, Any] = {}

    async def final() -> bool:
        nonlocal seen
        seen = (await task(client, "get", ticket)).result
        return seen["status"] in ("completed", "failed", "cancelled")

    await eventually(final, SOON)
    return seen


def text_of(result: Any) -> str:
    """The first text of a result: the SDK's model, or as it is on the wire."""
    if isinstance(result, t.CallToolResult):
        part = result.content[0]
        assert isinstance(part, t.TextContent)
        return part.text
    return str(result["content"][0]["text"])


def meta_of(result: t.CallToolResult) -> dict[str, Any]:
    return dict(result.meta or {})
