"""What 1, 2 and 4 gateway processes on one PostgreSQL database do: calls a second, CPU a call, events a commit.

    python bench/replicas.py [--calls 4000] [--rounds 3] [--processes 1 2 4] [--database URL]

Every control is in force and every event durable. URL is a database that may be used and whose server may be asked to
make others (default: postgres of 127.0.0.1); each count has a new one. In turns: calls that only events tell of, and
calls with a key each, which take turns at the tables. 32 are in flight at each process. CPU is of the gateways;
`postgresql` is that of its server, where it is of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import load
import overhead
import psutil
import uvloop
from store import new_database

IN_FLIGHT = 32


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def server_cpu() -> float:
    """CPU seconds of all PostgreSQL processes here, those that have ended left out."""
    seconds = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
    return seconds


@contextlib.contextmanager
def gateways(count: int, database: str) -> Iterator[tuple[list[int], list[psutil.Process], str]]:
    """Ports and processes of so many replicas, and a token that all of them take."""
    upstream, ports = overhead.free_port(), [overhead.free_port() for _ in range(count)]
    with tempfile.TemporaryDirectory() as name, new_database(database) as url, contextlib.ExitStack() as stack:
        configs = [_configuration(Path(name), upstream, port, url) for port in ports]
        server = [sys.executable, str(overhead.ROOT / "bench/upstream.py"), str(upstream)]
        stack.callback(stack.enter_context(subprocess.Popen(server)).kill)
        toolgate = [sys.executable, "-m", "gateway"]
        create = [*toolgate, "token", "create", "bench", "--config", str(configs[0]), "--json"]
        made = subprocess.run(create, check=True, capture_output=True, text=True, cwd=overhead.ROOT).stdout
        serving = []
        for config in configs:
            serve = [*toolgate, "serve", "--config", str(config)]
            process = stack.enter_context(subprocess.Popen(serve, cwd=overhead.ROOT, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            serving.append(psutil.Process(process.pid))
        for port in ports:
            overhead.wait_for(f"http://127.0.0.1:{port}/readyz", 60)
        yield ports, serving, json.loads(made)["token"]


def _configuration(folder: Path, upstream: int, port: int, url: str) -> Path:
    """They share the state folder, and so `secret.key`."""
    own = folder / str(port)
    own.mkdir()
    config = overhead.write_configuration(own, upstream, port)
    shared = f'port = {port}\nreplica = "r{port}"\ndatabase = "{url}"\nstate = "{folder / "var"}"\n'
    config.write_text(config.read_text().replace(f"port = {port}\n", shared))
    return config


async def measure(ports: Sequence[int], token: str, calls: int, keyed: bool) -> float:
    """Calls a second over all of them."""
    started = time.perf_counter()
    urls = [f"http://127.0.0.1:{port}/mcp/fast" for port in ports]
    await asyncio.gather(*(load.run(url, "echo", token, calls // len(urls), IN_FLIGHT, keyed=keyed) for url in urls))
    return calls / (time.perf_counter() - started)


def figures(count: int, database: str, calls: int, rounds: int, keyed: bool) -> dict[str, float]:
    with gateways(count, database) as (ports, serving, token):
        uvloop.run(measure(ports, token, 400, keyed))
        rates, own, others, events, commits = [], [], [], [], []
        for _ in range(rounds):
            before = _cpu(serving), server_cpu(), _commits(ports)
            rates.append(uvloop.run(measure(ports, token, calls, keyed)))
            after = _cpu(serving), server_cpu(), _commits(ports)
            own.append((after[0] - before[0]) / calls * 1000)
            others.append((after[1] - before[1]) / calls * 1000)
            events.append(after[2][0] - before[2][0])
            commits.append(after[2][1] - before[2][1])
    median = statistics.median
    return {
        "calls_per_second": median(rates),
        "cpu_ms_per_call": median(own),
        "postgresql_cpu_ms_per_call": median(others),
        "written_per_commit": sum(events) / sum(commits),
    }


def _cpu(serving: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in serving)


def _commits(ports: Sequence[int]) -> tuple[float, float]:
    """What was written, events and pieces of work, and in how many commits."""
    names = ("toolgate_event_commit_rows_sum", "toolgate_event_commit_rows_count")
    written, commits = (sum(metric(port, name) for port in ports) for name in names)
    return written, commits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--database", default="postgresql://postgres@127.0.0.1/postgres")
    given = parser.parse_args()
    for keyed in (False, True):
        for count in given.processes:
            found = figures(count, given.database, given.calls, given.rounds, keyed)
            print(json.dumps({"processes": count, "keyed": keyed, **{k: round(v, 3) for k, v in found.items()}}))


if __name__ == "__main__":
    main()
