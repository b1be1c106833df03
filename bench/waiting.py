"""What waiting for people costs: a gateway process with many calls that wait, held over HTTP or as tasks.

python bench/waiting.py [--calls 1000] [--seconds 30] [--decisions 50] [--way held|tasks]

Share of one core and KB of memory for each waiting call, beside an idle gateway; and how long a decision, made beside
the gateway as the command line makes it, takes to reach the client that waits, run and recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway_process import GatewayProcess
from processes import free_port, listening, start, stop
from raw_client import Modern, Reply

from gateway.config import load
from gateway.state import State

UPSTREAM = Path(__file__).parent / "upstream.py"
POLICY = """
agent = "bench"
description = "Waits."
[[allow]]
tool = "shop/echo"
gate = { type = "approval" }
"""
TASKS = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}


class Bench:
    """A gateway, its state opened beside it, and a client without bound on connections."""

    def __init__(self, gateway: GatewayProcess, state: State, client: Modern) -> None:
        self.gateway = gateway
        self.state = state
        self.client = client
        self.process = psutil.Process(gateway.process.pid)
        self.tickets: dict[str, str] = {}
        """By the text of the call."""

    async def open(self, calls: int, way: str) -> list[asyncio.Task[float]]:
        """Have so many calls wait; each task ends with the time at which its answer was there."""
        waiting = self._held if way == "held" else self._task
        tasks = []
        for number in range(calls):
            tasks.append(asyncio.create_task(waiting(f"call {number}")))
            if number % 20 == 19:
                await asyncio.sleep(0.2)
        while len(self._pending()) < calls:
            if failed := [task for task in tasks if task.done()]:
                failed[0].result()
            await asyncio.sleep(1)
        self.tickets = {str(ticket.given["text"]): ticket.id for ticket in self._pending()}
        return tasks

    def _pending(self) -> list[Any]:
        return self.state.approvals.find(states=("pending",), limit=100_000)

    async def _held(self, text: str) -> float:
        return self._arrived((await self._call(text, progressToken=text)).result, text)

    async def _call(self, text: str, **meta: Any) -> Reply:
        """Make the call; again, when the machine was too busy for it."""
        while True:
            try:
                reply = await self.client.call("shop__echo", {"text": text}, id=text, **meta)
                if reply.status == 200:
                    return reply
            except aiohttp.ClientError:
                await asyncio.sleep(1)

    async def _task(self, text: str) -> float:
        task = (await self._call(text, **TASKS)).result
        while task["status"] == "working":
            await asyncio.sleep(task["pollIntervalMs"] / 1000)
            task = (await self.client.request("tasks/get", {"taskId": task["taskId"]}, id=text, **TASKS)).result
        return self._arrived(task["result"], text)

    def _arrived(self, result: dict[str, Any], text: str) -> float:
        if result["content"][0]["text"] != text:
            raise SystemExit(f"{text} was answered {result}")
        return time.monotonic()

    def memory(self) -> float:
        """KB that are the process's own."""
        return float(self.process.memory_full_info().uss) / 1024

    async def share(self, seconds: float) -> float:
        """Of one core, in the next seconds."""
        before, begun = self._cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self._cpu() - before) / (time.monotonic() - begun)

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def decide(self, tasks: list[asyncio.Task[float]], decisions: int) -> list[float]:
        """Milliseconds from each of so many decisions to the answer."""
        taken = []
        for number, task in enumerate(tasks[:decisions]):
            work = partial(
                self.state.approvals.decide,
                ticket=self.tickets[f"call {number}"],
                reviewer="rita",
                verdict="approve",
            )
            self.state.store.run(work)
            begun = time.monotonic()
            taken.append((await task - begun) * 1000)
            await asyncio.sleep(0.05)
        return taken


async def run(arguments: argparse.Namespace, folder: Path, upstream: int) -> None:
    tables = "[approvals]\nhold = 3600\npending = 100_000\n"
    tables += f'[servers.shop]\nurl = "http://127.0.0.1:{upstream}/mcp"\nera = "modern"\n'
    with GatewayProcess(folder, tables, {"bench.toml": POLICY}) as gateway:
        state = State(load(gateway.config, os.environ))
        limits = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(3600)) as session:
            bench = Bench(gateway, state, Modern(session, gateway.url(), gateway.headers("bench")))
            await bench.client.tools()
            await asyncio.sleep(2)
            idle, empty = await bench.share(10), bench.memory()
            tasks = await bench.open(arguments.calls, arguments.way)
            await asyncio.sleep(arguments.settle)
            share, memory = await bench.share(arguments.seconds), bench.memory()
            held = arguments.way == "held"  # how soon a task is asked for again is its client's affair
            taken = await bench.decide(tasks, arguments.decisions) if held else []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        state.close()
    told: dict[str, Any] = {
        "way": arguments.way,
        "waiting": arguments.calls,
        "core_percent": round(100 * share, 2),
        "core_percent_idle": round(100 * idle, 2),
        "kb_per_call": round((memory - empty) / arguments.calls, 1),
    }
    if taken:
        p95 = statistics.quantiles(taken, n=20)[-1]
        told["decision_ms"] = {"median": round(statistics.median(taken)), "p95": round(p95), "most": round(max(taken))}
    print(json.dumps(told, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=15.0, help="seconds before measuring begins")
    parser.add_argument("--decisions", type=int, default=50)
    parser.add_argument("--way", choices=("held", "tasks"), default="held")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        command = (sys.executable, str(UPSTREAM), str(port))
        upstream = start(command, lambda: listening(port), folder / "upstream.log")
        try:
            asyncio.run(run(arguments, folder, port))
        finally:
            stop(upstream)


if __name__ == "__main__":
    main()
