"""Tickets through a gateway that runs: what reaches the client when it waits, and when it must not get through."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from raw_client import Modern, Reply, eventually, pool
from recorder import Nursery, Shop, shops

from gateway.approvals import Ticket
from gateway.config import load_without_servers
from gateway.state import State

WORKER = """
agent = "{agent}"
description = "Calls what people allow."
[[allow]]
tool = "shop/note"
gate = {{ type = "approval", expires = "1h" }}
[[allow]]
tool = "shop/look"
gate = {{ type = "approval", expires = "1s" }}
[[allow]]
tool = "toolgate/await_approval"
"""


class Served:
    """A gateway with one gated shop, and a reviewer beside it."""

    def __init__(self, gateway: GatewayProcess, shop: Shop, state: State) -> None:
        self.gateway = gateway
        self.shop = shop
        self.state = state
        self.headers = {agent: gateway.headers(agent) for agent in ("worker", "other")}

    def pending(self) -> list[Ticket]:
        return self.state.approvals.find(states=["pending"])

    async def asked(self, count: int = 1) -> Ticket:
        """The newest ticket, once so many wait."""
        await eventually(lambda: len(self.pending()) >= count, 10)
        return self.pending()[0]

    def decide(self, ticket: Ticket, verdict: Any = "approve", **more: Any) -> None:
        decide = partial(self.state.approvals.decide, ticket=ticket.id, reviewer="rita", verdict=verdict, **more)
        self.state.store.run(decide)

    def ran(self) -> list[str]:
        return [line["text"] for line in self.shop.executions()]

    def client(self, session: Any, agent: str = "worker") -> Modern:
        return Modern(session, self.gateway.url(), self.headers[agent])


@pytest.fixture(scope="module")
def gateway(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Shop]]:
    folder: Path = tmp_path_factory.mktemp("served")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\n[approvals]\nhold = 20\n'
        policies = {f"{agent}.toml": WORKER.format(agent=agent) for agent in ("worker", "other")}
        with GatewayProcess(folder, servers, policies) as gateway:
            yield gateway, shop


@pytest.fixture
def served(gateway: tuple[GatewayProcess, Shop]) -> Iterator[Served]:
    state = State(load_without_servers(gateway[0].config, os.environ))
    yield Served(*gateway, state)
    state.close()


def note(client: Modern, text: str) -> asyncio.Task[Reply]:
    return asyncio.create_task(client.call("shop__note", {"text": text}))


async def test_an_approved_call_is_run_once_and_its_reply_can_be_fetched_again(served: Served) -> None:
    async with pool() as session:
        client = served.client(session)
        held = note(client, "one")
        ticket = await served.asked()
        again = note(client, "one")
        served.decide(ticket)
        assert (await held).text == (await again).text == "one"
        waited = await client.call("toolgate__await_approval", {"ticket": ticket.id})
        assert waited.text == "one" and served.ran().count("one") == 1


async def test_edited_arguments_are_what_runs(served: Served) -> None:
    async with pool() as session:
        held = note(served.client(session), "much")
        served.decide(await served.asked(), arguments={"text": "little"})
        assert (await held).text == "little"
        assert "much" not in served.ran() and served.ran().count("little") == 1


async def test_a_rejection_reaches_the_client_in_the_reviewers_words(served: Served) -> None:
    async with pool() as session:
        held = note(served.client(session), "no")
        served.decide(await served.asked(), "reject", words="ask the customer first")
        reply = await held
        assert reply.reason == "rejected" and "ask the customer first" in reply.text and "no" not in served.ran()


async def test_a_ticket_that_expires_while_its_client_waits_is_told_as_such(served: Served) -> None:
    async with pool() as session:
        reply = await served.client(session).call("shop__look", {"text": "late"})
        assert reply.reason == "ticket_expired" and "late" not in served.ran()


async def test_another_agent_gets_nothing_by_the_id_of_a_ticket(served: Served) -> None:
    async with pool() as session:
        held = note(served.client(session), "mine")
        ticket = await served.asked()
        other = served.client(session, "other")
        for identity in (ticket.id, "a" * 16):
            reply = await other.call("toolgate__await_approval", {"ticket": identity})
            assert reply.reason == "ticket_unknown"
        served.decide(ticket)
        assert (await held).text == "mine"
        assert (await other.call("toolgate__await_approval", {"ticket": ticket.id})).reason == "ticket_unknown"
        assert served.ran().count("mine") == 1


async def test_a_policy_that_changed_makes_the_approval_void(served: Served) -> None:
    page = served.gateway.config.parent / "policies" / "worker.toml"
    async with pool() as session:
        client = served.client(session)
        held = note(client, "old")
        ticket = await served.asked()
        page.write_text(page.read_text() + '[[allow]]\ntool = "shop/hidden"\n')
        await eventually(lambda: _offered(client), 10)
        served.decide(ticket)
        reply = await held
        assert reply.reason == "policy_changed" and "old" not in served.ran()
        anew = note(client, "old")
        served.decide(await served.asked())
        assert (await anew).text == "old" and served.ran().count("old") == 1


async def _offered(client: Modern) -> bool:
    return "shop__hidden" in await client.tools()
