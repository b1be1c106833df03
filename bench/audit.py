"""What it takes to prove a log: events written as a gateway writes them, then verified, all of them.

python bench/audit.py [--events 1000000] [--url URL]

With a checkpoint for every thousand events. Prints events a second for writing, for witnessing and signing beside it,
and for verification. A database on PostgreSQL must be empty.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.chain import GENESIS
from gateway.events import EventRow, event_row
from gateway.evidence.checkpoints import CheckpointFile, Series, digest_of, lines_of
from gateway.evidence.keys import PUBLIC, Keys, by_id, public_keys
from gateway.evidence.verify import Verification
from gateway.evidence.witness import Witness
from gateway.metrics import Metrics
from gateway.settings import AuditSettings
from gateway.store import Store

_GROUP = 1000


def rows(begin: int) -> list[EventRow]:
    """As plain calls of one tool make them."""
    made = []
    for number in range(begin, begin + _GROUP // 2):
        told = {"call": f"{number:032x}", "agent": "bench", "server": "shop", "tool": "echo"}
        arguments = {"text": f"an argument of ordinary length, number {number}"}
        intent = {"token": "a1b2c3d4e5", "era": "modern", "key": None, "rule": "bench.toml:1", "policy": GENESIS}
        outcome = {"outcome": "ok", "ms": 1.25, "result": GENESIS, "preview": f"the answer to number {number}"}
        made.append(event_row(1.8e9 + number, "intent", {**intent, "arguments": arguments}, **told))
        made.append(event_row(1.8e9 + number, "outcome", outcome, **told))
    return made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--url", help="of an empty PostgreSQL database (default: a SQLite file)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.url, given.events)


def measure(folder: Path, url: str | None, events: int) -> None:
    store = Store(folder / "toolgate.db", url=url, chain="main")
    file = CheckpointFile(folder / "checkpoints.jsonl", Keys(folder))
    metrics = Metrics()
    witness = Witness(store, file, "bench", AuditSettings(events=_GROUP, interval=1e9), metrics)
    witness.look()
    chain, looked, started = store.database.new_chain(), 0.0, time.perf_counter()
    with store.database.connect() as connection:
        for begin in range(0, events, _GROUP):
            with store.database.transaction(connection, chain):
                chain.write(connection, rows(begin))
            before = time.perf_counter()
            witness.look()
            looked += time.perf_counter() - before
    told("written", events, time.perf_counter() - started - looked)
    told("witnessed and signed", events, looked)
    series = Series(by_id(public_keys(folder / PUBLIC)))
    lines = lines_of(file.path.read_bytes())
    series.file(file.path.name, lines)
    verification = Verification(series, lambda: {digest_of(line) for line in lines})
    before = time.perf_counter()
    report = verification.of_store(store.database)
    told(f"verified with {report.checkpoints} checkpoints", report.events, time.perf_counter() - before)
    store.stop()
    if report.faults or report.events != events:
        sys.exit(f"wrong: {report}")


def told(what: str, events: int, seconds: float) -> None:
    print(f"{events:>9,} events {what}: {seconds:6.1f} s, {events / seconds:>9,.0f} a second", flush=True)


if __name__ == "__main__":
    main()
