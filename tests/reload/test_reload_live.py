"""A gateway that runs follows its policy folder: who it concerns hears of it, and nothing has to be restarted."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gateway_process import CLI, GatewayProcess
from raw_client import Modern, eventually, pool
from recorder import Nursery, shops

pytestmark = pytest.mark.xdist_group("reload")  # one gateway for all of them

LIVE = 2.0
"""Seconds until a change is in force."""
CLERK = 'agent = "clerk"\ndescription = "Notes."\n[[allow]]\ntool = "shop/note"\n'
PAYER = 'agent = "payer"\ndescription = "Pays."\n[[allow]]\ntool = "shop/pay"\n'
PATIENCE = 30.0
"""Seconds after which something does not happen any more."""
FAILS = '[[test]]\nagent = "clerk"\ntool = "shop/note"\nexpect = "deny"\n'
LOOK = '[[allow]]\ntool = "shop/look"\n'


@dataclass
class Place:
    gateway: GatewayProcess
    folder: Path

    def write(self, name: str, text: str) -> None:
        """Put a file in place whole, as a careful person does."""
        aside = self.folder / f".{name}"
        aside.write_text(text)
        aside.replace(self.folder / name)

    def events(self, kind: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.folder.parent / "var/toolgate.db")) as database:
            rows = database.execute("SELECT data FROM events WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
        return [json.loads(data) for (data,) in rows]

    def told(self) -> list[str]:
        """The messages in the gateway's log."""
        return [json.loads(line)["message"] for line in self.gateway.output.splitlines() if line.startswith("{")]

    async def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        """In a thread: whoever stands still for five seconds does not see that the gateway closed idle connections."""
        command = [*CLI, "check", *options, "--config", str(self.gateway.config)]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)


@dataclass
class Visit:
    """Two agents at a gateway; `metric` reads one line of what it exposes."""

    place: Place
    clerk: Modern
    payer: Modern

    async def metric(self, name: str) -> float:
        async with self.clerk.session.get(self.place.gateway.url("/metrics")) as response:
            lines = (await response.text()).splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    async def sees(self, client: Modern, *tools: str) -> bool:
        listed = (await client.request("tools/list", {})).message.get("result", {"tools": []})["tools"]
        return [tool["name"] for tool in listed] == [f"shop__{tool}" for tool in tools]


@pytest.fixture(scope="module")
def place(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("reload")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n'
        with GatewayProcess(folder, servers, {"clerk.toml": CLERK, "payer.toml": PAYER}) as gateway:
            yield Place(gateway, folder / "policies")


@asynccontextmanager
async def visit(place: Place) -> AsyncIterator[Visit]:
    async with pool() as session:
        clerk, payer = (Modern(session, place.gateway.url(), place.gateway.headers(who)) for who in ("clerk", "payer"))
        here = Visit(place, clerk, payer)
        try:
            yield here
        finally:
            place.write("clerk.toml", CLERK)
            place.write("payer.toml", PAYER)
            await eventually(lambda: here.sees(clerk, "note"), PATIENCE)
            await eventually(lambda: here.sees(payer, "pay"), PATIENCE)


@asynccontextmanager
async def hearing(client: Modern) -> AsyncIterator[list[str]]:
    """What a client that listens for changed lists hears."""
    heard: list[str] = []
    ready = asyncio.Event()
    task = asyncio.create_task(client.listen(heard, ready))
    await asyncio.wait_for(ready.wait(), PATIENCE)
    heard.clear()
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_change_is_in_force_soon_and_told_to_those_it_concerns_alone(place: Place) -> None:
    async with visit(place) as here, hearing(here.clerk) as clerk, hearing(here.payer) as payer:
        begun = time.monotonic()
        place.write("clerk.toml", CLERK + LOOK)
        await eventually(lambda: bool(clerk), PATIENCE)
        assert time.monotonic() - begun < LIVE
        assert await here.sees(here.clerk, "look", "note")
        assert (await here.clerk.call("shop__look", {"text": "x"})).ok
        place.write("clerk.toml", CLERK)
        await eventually(lambda: len(clerk) == 2, PATIENCE)
        assert (await here.clerk.call("shop__look", {"text": "x"})).reason == "not_found"
        assert payer == []


async def test_a_swap_is_on_record_before_what_it_allows(place: Place) -> None:
    async with visit(place) as here:
        before = place.events("policy")
        place.write("clerk.toml", CLERK + LOOK)
        await eventually(lambda: here.sees(here.clerk, "look", "note"), PATIENCE)
        assert (await here.clerk.call("shop__look", {"text": "x"})).ok
        start, *_, last, new = place.events("policy")
        assert start["previous"] is None
        assert new["previous"] == last["digest"] == before[-1]["digest"]
        assert place.events("intent")[-1]["policy"] == new["digest"]
        assert new["digest"] in (await place.check()).stdout


async def test_a_hangup_has_the_folder_read_at_once_and_ends_nothing(place: Place) -> None:
    async with visit(place) as here:
        unchanged = await here.metric('toolgate_config_reloads_total{result="unchanged"}')
        place.gateway.process.send_signal(signal.SIGHUP)

        async def read() -> bool:
            return await here.metric('toolgate_config_reloads_total{result="unchanged"}') == unchanged + 1

        await eventually(read, PATIENCE)
        assert (await here.clerk.call("shop__note", {"text": "x"})).ok


def sparse(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("ruin", "told"),
    [
        (lambda path: path.write_bytes(b"\xef\xbb\xbf" + CLERK.encode()), "byte order mark"),
        (lambda path: path.write_text(CLERK[:-4]), "is not TOML"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text(CLERK.replace("note", "notes")), 'did you mean "note"?'),
        (lambda path: (path.parent / "tests.toml").write_text(FAILS), "expects deny"),
        (sparse, "larger than 1 MiB"),
        (directory, "not a regular file"),
    ],
)
async def test_a_broken_policy_leaves_the_last_good_one_in_force_and_rings(
    place: Place, ruin: Callable[[Path], object], told: str
) -> None:
    async with visit(place) as here:
        said = len(place.told())
        path = place.folder / "clerk.toml"
        ruin(path)

        async def rings() -> bool:
            return await here.metric("toolgate_config_reload_ok") == 0

        await eventually(rings, PATIENCE)
        assert (await here.clerk.call("shop__note", {"text": "x"})).ok
        assert (await here.clerk.call("shop__pay", {"text": "x"})).reason == "not_found"
        assert [told in line for line in place.told()[said:]].count(True) == 1
        checked = await place.check("--connect")
        assert checked.returncode == 1 and told in checked.stderr
        if path.is_dir():
            path.rmdir()
        (place.folder / "tests.toml").unlink(missing_ok=True)
        place.write("clerk.toml", CLERK)

        async def quiet() -> bool:
            return await here.metric("toolgate_config_reload_ok") == 1

        await eventually(quiet, PATIENCE)
        assert (await place.check()).returncode == 0, "what is good again is not in order"


async def test_an_agent_that_loses_its_policy_is_let_out_with_what_it_has_open(place: Place) -> None:
    async with visit(place) as here:
        heard: list[str] = []
        ready = asyncio.Event()
        listening = asyncio.create_task(here.payer.listen(heard, ready))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        slow = asyncio.create_task(here.payer.call("shop__pay", {"text": "x", "delay": 20}))
        begun = time.monotonic()
        (place.folder / "payer.toml").rename(place.folder / ".payer.toml")
        await asyncio.wait_for(asyncio.gather(listening, slow, return_exceptions=True), PATIENCE)
        assert time.monotonic() - begun < LIVE
        assert (await here.payer.request("tools/list", {})).status == 401
        assert await here.sees(here.clerk, "note")


async def test_names_nobody_offers_are_told_at_the_start_and_stop_nothing(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, "shop", "depot") as (shop, depot):
        depot.kill()
        servers = "".join(f'[servers.{each.name}]\nurl = "{each.url}"\nera = "modern"\n' for each in (shop, depot))
        policies = {"clerk.toml": CLERK + LOOK.replace("look", "lock"), "payer.toml": PAYER}
        policies["payer.toml"] += '[[allow]]\ntool = "depot/anything"\n'
        with GatewayProcess(tmp_path, servers, policies) as gateway:
            async with pool() as session:
                clerk = Modern(session, gateway.url(), gateway.headers("clerk"))
                place = Place(gateway, tmp_path / "policies")
                here = Visit(place, clerk, clerk)

                async def known() -> bool:
                    return await here.metric("toolgate_policy_unknown_names") == 1

                await eventually(known, PATIENCE)
                told = "\n".join(place.told())
                assert 'names the tool "lock", which its server does not offer. Fix: did you mean "look"?' in told
                assert 'the names on "depot" cannot be checked while it is down' in told
                assert (await clerk.call("shop__note", {"text": "x"})).ok
