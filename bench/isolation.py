"""What a tool server that hangs costs the callers of another: their latency without it and with it, interleaved.

    python bench/isolation.py [--hanging 1000] [--calls 2000] [--rounds 5] [--in-flight 4]

Each round measures calls of a good server first while nothing else goes on, then while so many calls hang at the bad
one. The hanging clients then leave, and what the gateway holds (descriptors, connections, memory) is compared with what
it held before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway_process import GatewayProcess
from processes import free_port, listening, running

UPSTREAM = Path(__file__).parent / "upstream.py"
POLICY = 'agent = "bench"\ndescription = "Measures."\n[[allow]]\ntool = "*/echo"\n'


@dataclass(frozen=True, slots=True)
class Bench:
    gateway: GatewayProcess
    upstream: psutil.Process
    """The one that hangs."""
    token: str

    def held(self) -> dict[str, float]:
        """What the gateway has open, and MB of memory of its own."""
        process = psutil.Process(self.gateway.process.pid)
        return {
            "descriptors": process.num_fds(),
            "connections": len(process.net_connections("tcp")),
            "threads": process.num_threads(),
            "mb": round(process.memory_full_info().uss / 1e6, 1),
        }

    async def good(self, calls: int, in_flight: int) -> load.Round:
        return await load.run(self.gateway.url("/mcp/good"), "echo", self.token, calls, in_flight)

    async def hang(self, count: int) -> list[asyncio.StreamWriter]:
        """Have so many calls hang; they do once the bad server has a connection for each."""
        url, writers = self.gateway.url("/mcp/bad"), []
        for number in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
            writer.write(load.request(url, "echo", number, "hang", self.token))
            writers.append(writer)
            if number % 50 == 49 or number + 1 == count:
                await self.until(lambda: len(self.upstream.net_connections("tcp")) > len(writers))
        return writers

    async def leave(self, writers: list[asyncio.StreamWriter]) -> None:
        for writer in writers:
            writer.close()
        await self.until(lambda: len(self.upstream.net_connections("tcp")) < 10 and not self.under_way())

    def under_way(self) -> float:
        """Calls that the gateway works on: one has ended once that is recorded."""
        with urllib.request.urlopen(self.gateway.url("/metrics")) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("toolgate_calls_in_flight"))

    async def until(self, condition: Any) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit("the calls did not come to hang, or did not end")
            await asyncio.sleep(0.1)


async def measure(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    alone, beside = [], []
    await bench.good(500, arguments.in_flight)
    await bench.leave(await bench.hang(arguments.hanging))  # what the first time costs is no leak
    await asyncio.sleep(6)
    before = bench.held()
    for _ in range(arguments.rounds):
        alone.append(await bench.good(arguments.calls, arguments.in_flight))
        writers = await bench.hang(arguments.hanging)
        beside.append(await bench.good(arguments.calls, arguments.in_flight))
        await bench.leave(writers)
        await asyncio.sleep(1)
    await asyncio.sleep(6)  # kept connections are let go of after 5 s
    told: dict[str, Any] = {"hanging": arguments.hanging}
    for share, name in ((0.5, "p50_ms"), (0.99, "p99_ms")):
        first, second = (statistics.median(each.quantile(share) for each in rounds) for rounds in (alone, beside))
        told[name] = {"alone": round(first, 2), "beside": round(second, 2), "ratio": round(second / first, 2)}
    return {**told, "held_before": before, "held_after": bench.held()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hanging", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, tables, processes = Path(name), "[throttle]\nper_second = 1000000\nburst = 1000000\n", {}
        for server in ("good", "bad"):
            port = free_port()
            command = (sys.executable, str(UPSTREAM), str(port))
            log = folder / f"{server}.log"
            processes[server] = stack.enter_context(running(command, lambda port=port: listening(port), log))
            tables += f'[servers.{server}]\nurl = "http://127.0.0.1:{port}/mcp"\nera = "modern"\n'
            tables += f"timeout = 600\nmax_concurrent = {arguments.hanging}\n"
        gateway = stack.enter_context(GatewayProcess(folder, tables, {"bench.toml": POLICY}))
        bench = Bench(gateway, psutil.Process(processes["bad"].pid), gateway.token("bench"))
        print(json.dumps(asyncio.run(measure(bench, arguments)), indent=2))


if __name__ == "__main__":
    main()
