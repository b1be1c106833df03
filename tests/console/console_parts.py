"""What the tests of the console share: a running gateway, its reviewers, and tickets put into its store beside it."""

from __future__ import annotations

import io
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from gateway_process import GatewayProcess
from raw_client import Modern
from recorder import Nursery, shops
from sqlalchemy import update

from gateway.approvals import Ticket
from gateway.call import Call, Facts, Permit, Principal, Silent, Tool
from gateway.config import load
from gateway.state import State
from gateway.tables import tickets
from gateway.terms import Gate, Terms, Tier

POLICIES = {
    "support.toml": """\
agent = "support"
description = "Answers customers, and pays back."
[[allow]]
tool = "shop/pay"
where = { amount = { maximum = 1000 } }
bind = { customer_id = { const = "C-1042" } }
gate = { type = "approval", words = "Is the order really cancelled?" }
[[allow]]
tool = "shop/note"
gate = { type = "approval" }
""",
    "clerk.toml": 'agent = "clerk"\ndescription = "Reads."\n[[allow]]\ntool = "shop/*"\n',
}
REFUND = {"amount": 900, "text": "order 77 was cancelled", "card_token": "tok_4242424242"}


class Office:
    """A gateway with one recorder `shop` behind it. `state` is its store as another process has it."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self.folder = folder
        self._shops = shops(nursery, folder, "shop")
        self._nursery = nursery

    def __enter__(self) -> Self:
        (shop,) = self._shops.__enter__()
        self.shop = shop
        facts = '[servers.shop.tools.pay.arguments.card_token]\nkind = "secret"\n'
        servers = f'[servers.shop]\nurl = "{shop.url}"\n{facts}[approvals]\nhold = 0.2\n'
        self.gateway = GatewayProcess(self.folder, servers, POLICIES)
        self.gateway.start()
        self.state = State(load(self.gateway.config, os.environ))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.state.close()
        self.gateway.stop()
        self._shops.__exit__(kind, error, trace)

    def url(self, path: str) -> str:
        return self.gateway.url(path)

    def reviewer(self, name: str, expires: timedelta | None = None) -> str:
        """A new token for this reviewer."""
        return self.state.reviewers.create(name, expires=expires)[0]

    def seed(self, given: Mapping[str, Any] = REFUND, *, gate: Gate | None = None, **fields: Any) -> str:
        """A ticket as the gate control opens it; its id."""
        made = call(given, **fields)
        asked = gate if gate is not None else approval()
        opened: Ticket = self.state.store.run(partial(self.state.approvals.open, call=made, gate=asked))
        return opened.id

    def ticket(self, identity: str) -> Ticket:
        found = self.state.approvals.get(identity)
        assert found is not None
        return found

    def hurry(self, ticket: str, column: str) -> None:
        """Have what is due to a ticket at `expires` or `escalates` be due now."""
        due = update(tickets).where(tickets.c.id == ticket).values(**{column: time.time()})
        assert self.state.store.run(lambda connection: connection.execute(due).rowcount) == 1

    def decide(self, ticket: str, reviewer: str, verdict: Any = "approve", **more: Any) -> None:
        decide = self.state.approvals.decide
        self.state.store.run(partial(decide, ticket=ticket, reviewer=reviewer, verdict=verdict, **more))


def ask(office: Office, agent: str, tool: str, arguments: Mapping[str, Any], **meta: Any) -> str:
    """An agent makes a call; what it is answered, as it stands on the wire."""
    client = Modern(None, office.url("/mcp"), office.gateway.headers(agent))  # type: ignore[arg-type]
    params = {"name": tool, "arguments": arguments}
    headers, body = client.message("tools/call", params, 1, **{f"toolgate/{name}": meta[name] for name in meta})
    told = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    with urllib.request.urlopen(urllib.request.Request(client.url, body, told), timeout=20) as answer:
        return str(answer.read().decode())


def approval(**fields: Any) -> Gate:
    return Gate(**{"type": "approval", "applies": lambda arguments: True, "words": "Is it cancelled?", **fields})


def tiers(*names: str, after: float = 60.0) -> Gate:
    return approval(type="escalation", tiers=tuple(Tier((name,), after) for name in names))


def call(
    given: Mapping[str, Any] = REFUND,
    *,
    agent: str = "support",
    server: str = "shop",
    tool: str = "pay",
    bound: Mapping[str, Any] = {"customer_id": "C-1042"},
    rule: str = "support.toml:allow[0]",
    **fields: Any,
) -> Call:
    """A call as it reaches the gate: bound arguments filled in, `card_token` declared secret, a key of its own."""
    key = secrets.token_hex(8)
    definition = {"name": tool, "inputSchema": {"type": "object"}}
    bind = {name: {"const": value} for name, value in bound.items()}
    return Call(
        id=secrets.token_hex(16),
        principal=Principal(agent, "t1"),
        server=server,
        tool=tool,
        name=f"{server}__{tool}",
        arguments={**given, **bound},
        given=given,
        peer=Silent(),
        era="modern",
        key=key,
        meta={"toolgate/key": key},
        definition=Tool(server, tool, definition, Facts(secrets=frozenset({"card_token"})), lambda arguments: None),
        permit=Permit(rule, "policy", bind=bind, terms=Terms(), grant="grant"),
        **fields,
    )


class Api:
    """A client of the HTTP API: one request, the status and the JSON of its answer. It comes from `address`."""

    def __init__(self, office: Office, token: str | None, address: str = "127.0.0.1") -> None:
        self._office = office
        self._address = address
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        return await self._ask("POST", path, data, {"Content-Type": "application/json", **headers})

    async def _ask(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any]:
        told = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connector = aiohttp.TCPConnector(local_addr=(self._address, 0))
        body = None if data is None else io.BytesIO(data)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session,
            session.request(method, self._office.url(path), data=body, headers=told) as response,
        ):
            return response.status, await response.json()
