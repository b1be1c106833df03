"""Nothing runs that cannot be written down first, and the service resumes by itself."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import aiohttp
import pytest
from fault_parts import POLICIES, events, http
from gateway_process import GatewayProcess
from raw_client import Legacy, Modern, eventually, pool
from recorder import Nursery, shops

TOLD_WITHIN = 2.0
"""Seconds after which a caller knows that nothing can be written."""


@contextmanager
def locked(gateway: GatewayProcess, folder: Path) -> Iterator[None]:
    """Another process holds the database's write lock and does not let go."""
    with closing(sqlite3.connect(folder / "var" / "toolgate.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(gateway: GatewayProcess, folder: Path) -> Iterator[None]:
    """The disk takes no byte more of the write-ahead log, as when it is full."""
    pid, size = gateway.process.pid, (folder / "var" / "toolgate.db-wal").stat().st_size
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


Trouble = Callable[[GatewayProcess, Path], AbstractContextManager[None]]


@pytest.mark.parametrize("trouble", [locked, full])
async def test_while_events_cannot_be_written_nothing_runs_and_it_resumes_by_itself(
    nursery: Nursery, tmp_path: Path, trouble: Trouble
) -> None:
    with shops(nursery, tmp_path, "shop") as made, GatewayProcess(tmp_path, http(made), POLICIES) as gateway:
        async with pool() as session:
            headers = gateway.headers("worker")
            modern, legacy = Modern(session, gateway.url(), headers), Legacy(session, gateway.url(), headers)
            await legacy.open()
            for number in range(3):
                assert (await modern.call("shop__note", {"text": f"before {number}"})).ok
            with trouble(gateway, tmp_path):
                for _ in range(3):
                    refused = await modern.call("shop__note", {"text": "never"})
                    assert (refused.status, refused.reason) == (503, "unrecorded")
                    assert refused.seconds < TOLD_WITHIN
                refused = await legacy.call("shop__note", {"text": "never"})
                assert refused.reason == "unrecorded" and refused.seconds < TOLD_WITHIN
                assert await health(session, gateway) == (503, 503)
            resumed = await eventually(lambda: healthy(session, gateway), 5)
            assert (await modern.call("shop__note", {"text": "after"})).ok
        print(f"\nresumed {resumed:.2f} s later without being asked")
        assert [line["text"] for line in made[0].executions()] == ["before 0", "before 1", "before 2", "after"]
        assert [event["problem"] for event in events(tmp_path, "gap")] == ["OperationalError"]


async def test_a_call_whose_outcome_cannot_be_written_is_not_said_to_have_done_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,), GatewayProcess(tmp_path, http([shop]), POLICIES) as gateway:
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            assert (await agent.call("shop__look", {"text": "warm"})).ok
            running = asyncio.create_task(agent.call("shop__note", {"text": "ran", "delay": 0.5}))
            await eventually(lambda: "ran" in [line["text"] for line in shop.executions()], 5)
            with locked(gateway, tmp_path):
                reply = await running
            assert (reply.status, reply.reason) == (503, "unrecorded")
            assert "look before you repeat it" in reply.message["error"]["message"]


async def health(session: aiohttp.ClientSession, gateway: GatewayProcess) -> tuple[int, ...]:
    statuses = []
    for path in ("/healthz", "/readyz"):
        async with session.get(gateway.url(path)) as response:
            statuses.append(response.status)
    return tuple(statuses)


async def healthy(session: aiohttp.ClientSession, gateway: GatewayProcess) -> bool:
    return await health(session, gateway) == (200, 200)
