"""Tool servers that are processes of the gateway: none outlives it, and one that crashes comes back."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import psutil
from fault_parts import POLICIES, events, stdio
from gateway_process import GatewayProcess
from raw_client import Modern, eventually, pool
from recorder import lines, wait_until


def started(record: Path) -> list[int]:
    """Process ids of every start of a recorder."""
    return [line["started"] for line in lines(record) if "started" in line]


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended, be it that nobody has asked yet how."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_gateway_that_is_killed_leaves_no_process_behind_however_stubborn(tmp_path: Path) -> None:
    records = [tmp_path / f"{name}.jsonl" for name in ("one", "two")]
    tables = "".join(stdio(record.stem, record, "--stubborn") for record in records)
    with GatewayProcess(tmp_path, tables, POLICIES) as gateway:
        children = psutil.Process(gateway.process.pid).children(recursive=True)
        assert {pid for record in records for pid in started(record)} <= {child.pid for child in children}
        gateway.kill()
        took = wait_until(lambda: gone(children), 3)
        print(f"\nall {len(children)} processes were gone {took:.2f} s after the gateway")


async def test_a_server_that_crashes_in_a_call_is_back_for_the_next_ones(tmp_path: Path) -> None:
    record = tmp_path / "shop.jsonl"
    with GatewayProcess(tmp_path, stdio("shop", record), POLICIES) as gateway:
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            crashed = await agent.call("shop__crash", {"text": "bang"})
            assert crashed.status == 200 and crashed.reason == "upstream_interrupted"
            took = await eventually(lambda: answers(agent), 8)
            print(f"\nback after {took:.2f} s")
    assert [line["text"] for line in lines(record) if line.get("tool") == "crash"] == ["bang"]
    assert len(started(record)) == 2


async def answers(agent: Modern) -> bool:
    return (await agent.call("shop__note", {"text": "well"})).ok


def test_a_server_that_ends_at_once_is_started_again_ever_more_slowly(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = tmp_path / "broken.py"
    script.write_text(f"import os\nos.write(os.open({str(starts)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), b'x')\n")
    table = f'[servers.broken]\ncommand = "{sys.executable}"\nargs = ["-IS", "{script}"]\nera = "legacy"\n'
    with GatewayProcess(tmp_path, table, POLICIES):
        begun = time.monotonic()
        wait_until(lambda: len(starts.read_bytes()) >= 4, 10)
        assert time.monotonic() - begun > 0.5


async def test_a_gateway_told_to_stop_is_gone_in_five_seconds_and_every_call_has_its_outcome(tmp_path: Path) -> None:
    record = tmp_path / "shop.jsonl"
    with GatewayProcess(tmp_path, stdio("shop", record, "--stubborn"), POLICIES) as gateway:
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            calls = [
                asyncio.create_task(agent.call("shop__note", {"text": f"{n}", "delay": 1 if n % 2 else 60}, id=n))
                for n in range(20)
            ]
            await eventually(lambda: len(lines(record)) > 20, 5)
            children = psutil.Process(gateway.process.pid).children(recursive=True)
            begun = time.monotonic()
            code = await asyncio.to_thread(gateway.stop)
            took = time.monotonic() - begun
            replies = await asyncio.gather(*calls, return_exceptions=True)
        print(f"\nended in {took:.2f} s with exit code {code}")
        assert took < 5
        wait_until(lambda: gone(children), 0.5)
        answered = [reply for reply in replies if not isinstance(reply, BaseException) and reply.ok]
        assert len(answered) == 10
        outcomes = {event["call"]: event["outcome"] for event in events(tmp_path, "outcome")}
        assert outcomes.keys() == {event["call"] for event in events(tmp_path, "intent")}
        assert sorted(outcomes.values()) == ["ok"] * 10 + ["unknown"] * 10
