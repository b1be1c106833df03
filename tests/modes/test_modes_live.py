"""A gateway in read-only mode runs what only reads, refuses the rest, and needs no restart for either."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from raw_client import Modern, Reply, eventually, pool
from recorder import Nursery, Shop, shops

from gateway.cli import main

pytestmark = pytest.mark.xdist_group("modes")  # one gateway for all of them

LIVE = 2.0
"""Seconds until a switch is noticed."""
PATIENCE = 30.0
FACTS = "tools.look.read_only = true\ntools.note.idempotent = true\n"
TOOLS = '[[allow]]\ntool = "shop/note"\n[[allow]]\ntool = "shop/look"\n'
PAY = '[[allow]]\ntool = "shop/pay"\ngate = { type = "approval" }\n[[allow]]\ntool = "toolgate/*"\n'
CLERK = f'agent = "clerk"\ndescription = "Notes."\n{TOOLS}{PAY}'
PAYER = f'agent = "payer"\ndescription = "Pays."\n{TOOLS}'


@dataclass
class Visit:
    """Two agents at a gateway, and whoever runs it."""

    gateway: GatewayProcess
    shop: Shop
    clerk: Modern
    payer: Modern

    def command(self, *arguments: str) -> str:
        """What a command that does what it should prints."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main([*arguments, "--config", str(self.gateway.config)]) == 0
        return out.getvalue()

    def switch(self, *arguments: str) -> None:
        self.command("read-only", *arguments)

    def waiting(self) -> list[str]:
        """Ids of the tickets that wait."""
        return [ticket["id"] for ticket in json.loads(self.command("approvals", "list", "--json"))]

    async def metric(self, agent: str) -> str | None:
        async with self.clerk.session.get(self.gateway.url("/metrics")) as response:
            lines = (await response.text()).splitlines()
        head = f'toolgate_read_only{{agent="{agent}"}} '
        return next((line.removeprefix(head) for line in lines if line.startswith(head)), None)


@pytest.fixture(scope="module")
def place(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Shop]]:
    folder = tmp_path_factory.mktemp("modes")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\n{FACTS}'
        with GatewayProcess(folder, servers, {"clerk.toml": CLERK, "payer.toml": PAYER}) as gateway:
            yield gateway, shop


@asynccontextmanager
async def visit(place: tuple[GatewayProcess, Shop]) -> AsyncIterator[Visit]:
    gateway, shop = place
    async with pool() as session:
        clerk, payer = (Modern(session, gateway.url(), gateway.headers(who)) for who in ("clerk", "payer"))
        here = Visit(gateway, shop, clerk, payer)
        try:
            yield here
        finally:
            for agent in ("", "clerk", "payer"):
                here.switch("off", *filter(None, [agent]))
            await eventually(lambda: ok(clerk), PATIENCE)
            await eventually(lambda: ok(payer), PATIENCE)


async def note(client: Modern, text: str = "x", **arguments: float) -> Reply:
    return await client.call("shop__note", {"text": text, **arguments})


async def ok(client: Modern) -> bool:
    return (await note(client)).ok


async def refused(client: Modern) -> bool:
    return (await note(client)).reason == "read_only"


async def test_one_agent_may_only_read_and_the_others_go_on(place: tuple[GatewayProcess, Shop]) -> None:
    async with visit(place) as here:
        assert await ok(here.clerk)
        here.switch("on", "clerk")
        assert await eventually(lambda: refused(here.clerk), PATIENCE) < LIVE
        ran = len(here.shop.executions())
        reply = await note(here.clerk)
        assert "Nothing was run." in reply.text
        assert len(here.shop.executions()) == ran
        assert (await here.clerk.call("shop__look", {"text": "x"})).ok
        assert await ok(here.payer)
        assert (await here.metric("clerk"), await here.metric("")) == ("1.0", "0.0")
        here.switch("off", "clerk")
        assert await eventually(lambda: ok(here.clerk), PATIENCE) < LIVE
        assert await here.metric("clerk") is None


async def test_for_the_whole_gateway_it_is_for_every_agent(place: tuple[GatewayProcess, Shop]) -> None:
    async with visit(place) as here:
        here.switch("on")
        await eventually(lambda: refused(here.payer), PATIENCE)
        assert await refused(here.clerk)
        assert (await here.payer.call("shop__look", {"text": "x"})).ok
        assert await here.metric("") == "1.0"


async def test_what_the_agent_may_not_see_stays_unseen(place: tuple[GatewayProcess, Shop]) -> None:
    async with visit(place) as here:
        here.switch("on")
        await eventually(lambda: refused(here.payer), PATIENCE)
        assert (await here.payer.call("shop__pay", {"text": "x"})).reason == "not_found"
        assert (await here.payer.call("shop__absent", {})).reason == "not_found"


async def test_a_call_under_way_ends_as_it_would_have(place: tuple[GatewayProcess, Shop]) -> None:
    async with visit(place) as here:
        slow = asyncio.create_task(note(here.clerk, "slow", delay=1.5))
        await eventually(lambda: any(each["text"] == "slow" for each in here.shop.executions()), PATIENCE)
        here.switch("on", "clerk")
        await eventually(lambda: refused(here.clerk), PATIENCE)
        assert not slow.done()
        assert (await slow).text == "slow"


async def test_it_outlives_a_restart(place: tuple[GatewayProcess, Shop]) -> None:
    async with visit(place) as here:
        here.switch("on", "clerk")
        here.gateway.kill()
        await asyncio.to_thread(here.gateway.start)
        assert await refused(here.clerk)
        assert await here.metric("clerk") == "1.0"
        assert await ok(here.payer)


async def test_an_approved_call_that_comes_for_its_result_is_refused_and_its_ticket_stays(
    place: tuple[GatewayProcess, Shop], tmp_path: Path
) -> None:
    async with visit(place) as here:
        held = asyncio.create_task(here.clerk.call("shop__pay", {"text": "held"}))
        await eventually(here.waiting, PATIENCE)
        (ticket,) = here.waiting()
        here.switch("on", "clerk")
        await eventually(lambda: refused(here.clerk), PATIENCE)
        token = tmp_path / "token"
        token.write_text(json.loads(here.command("reviewer", "create", "ann", "--json"))["token"])
        here.command("approvals", "approve", ticket, "--token-file", str(token))
        assert (await held).reason == "read_only"
        assert "held" not in [each["text"] for each in here.shop.executions()]
        here.switch("off", "clerk")
        await eventually(lambda: ok(here.clerk), PATIENCE)
        assert (await here.clerk.call("toolgate__await_approval", {"ticket": ticket})).text == "held"
