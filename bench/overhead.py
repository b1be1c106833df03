"""What the gateway adds to a tool call: direct and through it, interleaved in one run, every answer verified.

    python bench/overhead.py [--calls 4000] [--rounds 3] [--awake]

Every control is in force and every event durable. The gateway is one process. With one client nobody competes,
and the processes run where the system puts them. With 32 calls in flight, where the machine has two cores or more,
the gateway's event loop has the first to itself, and load and tool server share the second; the gateway's thread
that writes events, which mostly waits for the disk, stays free.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import load
import psutil
import uvloop

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes under measurement."""

    direct: str
    through: str
    token: str
    gateway: psutil.Process
    server: psutil.Process
    ready: float


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(url: str, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.005)
    raise SystemExit(f"{url} did not become ready")


def write_configuration(folder: Path, upstream: int, port: int) -> Path:
    policies = folder / "policies"
    policies.mkdir()
    (policies / "model.conf").write_text((ROOT / "policies" / "model.conf").read_text())
    (policies / "bench.toml").write_text(
        'agent = "bench"\ndescription = "Measures."\n'
        '[[allow]]\ntool = "fast/*"\nwhere = { text = { maxLength = 100 } }\n[[deny]]\ntool = "*/delete_*"\n'
    )
    config = folder / "gateway.toml"
    config.write_text(
        f"[gateway]\nport = {port}\n[throttle]\nper_second = 1000000.0\nburst = 1000000\n"
        f'[servers.fast]\nurl = "http://127.0.0.1:{upstream}/mcp"\n'
    )
    return config


def part(bench: Bench) -> None:
    """Keep the gateway's event loop on one core and everything else on another."""
    if (os.cpu_count() or 1) > 1:
        for process, core in ((bench.gateway, 0), (bench.server, 1), (psutil.Process(), 1)):
            process.cpu_affinity([core])


@contextlib.contextmanager
def awake(wanted: bool) -> Iterator[None]:
    """Keep the cores from sleeping, by work that gives way to any other (nice 19).

    A core that sleeps takes long to wake, above all in a virtual machine, and a single client lets it sleep between
    any two steps of a call: without this the figure says as much about the machine as about the gateway.
    """
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1 if wanted else 0):
            spin = ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]
            stack.callback(stack.enter_context(subprocess.Popen(spin)).kill)
        yield


@contextlib.contextmanager
def processes() -> Iterator[Bench]:
    upstream, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        config = write_configuration(Path(folder), upstream, port)
        toolgate = [sys.executable, "-m", "gateway"]
        create = [*toolgate, "token", "create", "bench", "--config", str(config), "--json"]
        token = json.loads(subprocess.run(create, check=True, capture_output=True, text=True, cwd=ROOT).stdout)["token"]
        server = stack.enter_context(subprocess.Popen([sys.executable, str(ROOT / "bench/upstream.py"), str(upstream)]))
        stack.callback(server.terminate)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", upstream)):
                break
        started = time.perf_counter()
        serve = [*toolgate, "serve", "--config", str(config)]
        gateway = stack.enter_context(subprocess.Popen(serve, cwd=ROOT, stderr=subprocess.DEVNULL))
        stack.callback(gateway.terminate)
        wait_for(f"http://127.0.0.1:{port}/readyz")
        ready = time.perf_counter() - started
        direct, through = f"http://127.0.0.1:{upstream}/mcp", f"http://127.0.0.1:{port}/mcp/fast"
        yield Bench(direct, through, token, psutil.Process(gateway.pid), psutil.Process(server.pid), ready)


async def measure(bench: Bench, calls: int, rounds: int, in_flight: int) -> dict[str, float]:
    direct, through, cpu = [], [], []
    await load.run(bench.through, "echo", bench.token, 200, in_flight if in_flight > 1 else 1)
    for _ in range(rounds):
        direct.append(await load.run(bench.direct, "echo", None, calls, in_flight))
        before = bench.gateway.cpu_times()
        through.append(await load.run(bench.through, "echo", bench.token, calls, in_flight))
        after = bench.gateway.cpu_times()
        cpu.append((after.user + after.system - before.user - before.system) / len(through[-1].latencies) * 1000)
    median = statistics.median
    return {
        "direct_p50_ms": median(each.quantile(0.5) for each in direct),
        "through_p50_ms": median(each.quantile(0.5) for each in through),
        "added_p50_ms": median(t.quantile(0.5) - d.quantile(0.5) for t, d in zip(through, direct, strict=True)),
        "through_p99_ms": median(each.quantile(0.99) for each in through),
        "direct_per_second": median(each.rate for each in direct),
        "through_per_second": median(each.rate for each in through),
        "cpu_ms_per_call": median(cpu),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--awake", action="store_true", help="let no core sleep while one client is measured")
    arguments = parser.parse_args()
    with processes() as bench:
        with awake(arguments.awake):
            one = uvloop.run(measure(bench, arguments.calls // 4, arguments.rounds, 1))
        part(bench)
        many = uvloop.run(measure(bench, arguments.calls, arguments.rounds, 32))
        resident = bench.gateway.memory_info().rss / 1e6
    if arguments.json:
        print(json.dumps({"one": one, "32": many, "ready_s": bench.ready, "resident_mb": resident}))
        return
    print(f"{'':24}{'1 client':>12}{'32 in flight':>14}")
    for key in one:
        print(f"{key:24}{one[key]:12.3f}{many[key]:14.3f}")
    print(f"{'start to ready, s':24}{bench.ready:12.3f}\n{'resident, MB':24}{resident:12.1f}")


if __name__ == "__main__":
    main()
