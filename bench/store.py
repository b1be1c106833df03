"""What an event costs: how many a second, how many a commit, CPU of each, and how long one that is alone waits.

    python bench/store.py [--events 20000] [--rounds 3] [--flight 256] [--postgresql URL] [--json]

SQLite in a temporary folder and, where a URL is given, a new database of that PostgreSQL server, in turns. Events are
as large as those of small calls. In bulk, `flight` are under way at a time; each is durable before the next takes its
place. CPU is of this process; a PostgreSQL server has its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.store import Store

DATA = json.dumps(
    {"token": "abcdefghij", "era": "modern", "rule": "worker.toml:allow[0]", "policy": "0" * 64}, indent=1
)
ROW = (1_800_000_000.0, "intent", "c" * 16, "worker", "shop", "note", None, None, DATA)
ALONE = 300
"""Events that are written one after the other."""


@contextmanager
def opened(url: str | None, commits: list[int]) -> Iterator[Store]:
    """A new store, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toolgate.db"
        if url is None:
            store = Store(path, lambda rows, seconds: commits.append(rows))
        else:
            store = Store(path, lambda rows, seconds: commits.append(rows), url=url)
        store.start()
        try:
            yield store
        finally:
            store.stop()


@contextmanager
def new_database(server: str) -> Iterator[str]:
    import psycopg

    name = f"toolgate_bench_{time.time_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def measure(store: Store, commits: list[int], events: int, flight: int) -> dict[str, float]:
    waits = []
    for _ in range(ALONE):
        began = time.perf_counter()
        await store.append(ROW)
        waits.append(time.perf_counter() - began)
    commits.clear()

    async def append(count: int) -> None:
        for _ in range(count):
            await store.append(ROW)

    began, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(append(events // flight) for _ in range(flight)))
    spent, seconds = time.process_time() - spent, time.perf_counter() - began
    written = sum(commits)
    return {
        "events/s": written / seconds,
        "events/commit": written / len(commits),
        "CPU us/event": spent / written * 1e6,
        "alone p50 ms": statistics.median(waits) * 1000,
    }


def once(url: str | None, events: int, flight: int) -> dict[str, float]:
    commits: list[int] = []
    if url is None:
        with opened(None, commits) as store:
            return asyncio.run(measure(store, commits, events, flight))
    with new_database(url) as database, opened(database, commits) as store:
        return asyncio.run(measure(store, commits, events, flight))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flight", type=int, default=256)
    parser.add_argument("--postgresql", metavar="URL", help="such as postgresql://postgres@127.0.0.1/postgres")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    places: dict[str, str | None] = {"sqlite": None} | ({"postgresql": told.postgresql} if told.postgresql else {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in places}
    for _ in range(told.rounds):
        for name, url in places.items():
            found[name].append(once(url, told.events, told.flight))
    medians: dict[str, Any] = {
        name: {figure: statistics.median(round_[figure] for round_ in rounds) for figure in rounds[0]}
        for name, rounds in found.items()
    }
    if told.json:
        print(json.dumps(medians))
        return
    for name, figures in medians.items():
        print(f"{name:12}" + "".join(f"{figure}: {value:<12.5g}" for figure, value in figures.items()))


if __name__ == "__main__":
    main()
