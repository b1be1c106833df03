"""A PostgreSQL server that stops, ends connections or hangs costs answers within two seconds, and nothing for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from databases import Place, Server
from fault_parts import POLICIES, http
from gateway_process import GatewayProcess
from raw_client import Modern, eventually, pool
from recorder import Nursery, Shop, shops
from sqlalchemy import Connection

from gateway.cli import main
from gateway.events import event_row, insert_events
from gateway.tables import switches

TOLD_WITHIN = 2.5
"""Seconds after which a caller knows that nothing can be written; on a machine that is not busy, two."""
TASKS = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}


@pytest.fixture
def serving(nursery: Nursery, tmp_path: Path, postgresql_server: Server) -> Iterator[tuple[GatewayProcess, Shop]]:
    setting = f'database = "{postgresql_server.url}"'
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        GatewayProcess(tmp_path, http([shop]), POLICIES, settings=setting) as gateway,
    ):
        yield gateway, shop


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop("immediate")
    yield
    server.start()


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    """Every process of the server stands still: connections stay, and nothing is answered."""
    port = f"-p {server.port}"
    (head,) = [each for each in psutil.process_iter(["cmdline"]) if port in " ".join(each.info["cmdline"] or ())]
    processes = [head, *head.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def status(session: aiohttp.ClientSession, gateway: GatewayProcess, path: str = "/healthz") -> int:
    async with session.get(gateway.url(path), timeout=aiohttp.ClientTimeout(TOLD_WITHIN)) as response:
        return response.status


@pytest.mark.parametrize("trouble", [stopped, hanging])
async def test_while_the_server_does_not_answer_nothing_runs_and_all_resumes_by_itself(
    serving: tuple[GatewayProcess, Shop], postgresql_server: Server, trouble: Any
) -> None:
    gateway, shop = serving
    async with pool() as session:
        agent = Modern(session, gateway.url(), gateway.headers("worker"))
        unheard = Modern(session, gateway.url(), gateway.headers("worker"))
        assert (await agent.call("shop__note", {"text": "before"})).ok
        with trouble(postgresql_server):
            for _ in range(4):
                refused = await agent.call("shop__note", {"text": "never"})
                assert (refused.status, refused.reason) == (503, "unrecorded")
                assert refused.seconds < TOLD_WITHIN
                assert await status(session, gateway) == 503
            for tried in ("tasks/get", "tasks/cancel"):
                refused = await agent.request(tried, {"taskId": "nobody's"}, **TASKS)
                assert (refused.status, refused.message["error"]["data"]["reason"]) == (503, "unrecorded")
                assert refused.seconds < TOLD_WITHIN
            told = asyncio.create_task(unheard.call("shop__note", {"text": "never"}))
            while not told.done():  # a token that has to be looked up holds nobody else
                begun = time.monotonic()
                await status(session, gateway)
                assert time.monotonic() - begun < TOLD_WITHIN / 2
                await asyncio.sleep(0.05)
            assert (await told).seconds < TOLD_WITHIN + 1
        await eventually(lambda: _well(session, gateway), 20)
        assert (await agent.call("shop__note", {"text": "after"})).ok
        assert (await unheard.call("shop__note", {"text": "after"})).ok
        assert [line["text"] for line in shop.executions()] == ["before", "after", "after"]
        # What polls the database has mended itself too.
        assert main(["read-only", "on", "--config", str(gateway.config)]) == 0
        await eventually(lambda: _refused(agent), 10)
    kinds = [kind for (kind,) in postgresql_server.execute("SELECT kind FROM events ORDER BY seq")]
    assert kinds.count("gap") == 1 and kinds.count("intent") - kinds.count("outcome") <= 1


async def _well(session: aiohttp.ClientSession, gateway: GatewayProcess) -> bool:
    return await status(session, gateway) == 200


async def _refused(agent: Modern) -> bool:
    return (await agent.call("shop__note", {"text": "read only"})).reason == "read_only"


async def test_connections_that_are_ended_in_the_middle_double_nothing_and_lose_nothing(postgresql: Place) -> None:
    store = postgresql.open(chain="one")
    store.start()
    until, said = time.monotonic() + 4, {}

    async def write(name: str) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            what = f"{name}.{number}"
            work = _switch(what) if number % 3 == 0 else None
            try:
                await (store.append(event_row(1.0, "intent", {}, call=what)) if work is None else store.transact(work))
                said[what] = True
            except Exception:
                said[what] = False
                await asyncio.sleep(0.05)

    async def cut() -> None:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
        while time.monotonic() < until:
            await asyncio.sleep(0.15)
            await asyncio.to_thread(postgresql.execute, ends)

    await asyncio.gather(*(write(f"w{number}") for number in range(20)), cut(), return_exceptions=False)
    await eventually(lambda: store.failed is None, 10)
    store.stop()
    events = postgresql.rows("events")
    written = [row["call"] for row in events if row["kind"] == "intent"]
    kept = {row["agent"] for row in postgresql.rows("switches")}
    assert len(written) == len(set(written)), "nothing is written twice"
    assert {what for what, done in said.items() if done} <= {*written}, "what was said to be written is"
    assert kept == {what for what in written if int(what.rpartition(".")[2]) % 3 == 0}, "work goes with its event"
    assert [row["n"] for row in events] == [*range(1, len(events) + 1)], "one chain, without a hole"
    assert False in said.values() and sum(said.values()) > 100


def _switch(what: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(switches.insert().values(agent=what, by="x", at=1.0))
        insert_events(connection, [event_row(1.0, "intent", {}, call=what)])

    return work


def test_a_password_is_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("postgresql://toolgate:s3cr3t-w0rd@127.0.0.1:1/db", "postgresql://toolgate:s3cr3t@w0rd@127.0.0.1:1/db"):
        (tmp_path / "gateway.toml").write_text(f'[gateway]\ndatabase = "{url}"\n')
        assert main(["token", "list", "--config", str(tmp_path / "gateway.toml")]) == 1
        printed = capsys.readouterr()
        assert "gateway.database" in printed.err
        assert "s3cr3t" not in printed.err + printed.out and "w0rd" not in printed.err + printed.out
