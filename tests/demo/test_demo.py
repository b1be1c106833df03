"""The demonstration, played as a newcomer plays it: what it says, and what the servers' own databases hold after it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
MARK = "TOOLGATE_DEMO_TEST"
SCENES = [
    "1. An order runs through five agents",
    "Order ORD-7001 completed",
    "Order ORD-7002 failed in payment",
    "2 of 2 effects taken back",
    "payment__refund_card was refused (not_found)",
    '"maximum": 20000, "minimum": 1',
    "billing__process_refund was refused (denied)",
    "within the bound, 1500 cents, and sure of it: answered",
    "I refunded 25.00 of the 120.00 that CUS-1001 asked for.",
    "Lamps in stock while the order is under way: 36.",
    "seconds later: 38. Nobody had to do anything.",
    'records__search_orders {"text": "12345; DROP TABLE orders;--"}: answered',
    'records__run_query {"sql": "12345; DROP TABLE orders;--"}: refused (unsafe_arguments)',
    'records__run_query {"sql": "SELECT count(*) FROM orders"}: answered',
    "refused (circuit_open)",
    "A probe got through and closed the breaker",
    "Intents without an outcome: 0.",
    "desk: planned address (address), discount (discount), parcel (parcel)",
    "discount  discount    completed  not known  4.90 USD were taken off for WELCOME10.",
    "billing__apply_discount answered; a person allowed it, ticket ",
    "5 of 5 conversations are as they were.",
    "Nothing is left running.",
]


def marked(mark: str) -> list[psutil.Process]:
    """The processes that were started, directly or not, with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def rows(folder: Path, server: str, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "servers" / f"{server}.db")) as database:
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of copies that were played side by side, each with its `output`; the first one kept its data."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark}
    folders = [tmp_path_factory.mktemp("demo") for _ in range(2)]
    copies = []
    for folder, more in zip(folders, (["--folder", str(folders[0])], []), strict=True):
        with (folder / "output").open("wb") as out:
            command = [sys.executable, "-m", "agents.demo", *more]
            copies.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out))
    outputs = "".join((folder / "output").read_text() for folder in folders)
    assert [copy.wait(240) for copy in copies] == [0, 0], outputs
    assert marked(mark) == []
    return folders


@pytest.mark.timeout(300)
def test_two_copies_side_by_side_end_well_and_leave_nothing_running(played: list[Path]) -> None:
    for folder in played:
        text = (folder / "output").read_text()
        assert [scene for scene in SCENES if scene not in text] == []


def test_what_was_refunded_is_what_the_reviewer_made_of_it(played: list[Path]) -> None:
    entries = rows(played[0], "billing", "select customer_id, kind, amount from entries order by rowid")
    assert entries[:2] == [("CUS-1001", "refund", 1500), ("CUS-1001", "refund", 2500)]
    assert entries[2:] == [("CUS-1001", "discount", 490)], "the desk's"
    assert rows(played[0], "billing", "select refunded from accounts where customer_id = 'CUS-1001'") == [(4000,)]


def test_only_the_order_that_went_through_holds_stock_and_was_paid(played: list[Path]) -> None:
    states = rows(played[0], "inventory", "select order_id, sku, quantity, state from reservations order by 1, 2")
    assert states == [
        (order, sku, quantity, state)
        for order, state in (("ORD-7001", "held"), ("ORD-7002", "released"), ("ORD-7003", "released"))
        for sku, quantity in (("LAMP-01", 2), ("MUG-04", 1))
    ]
    stock = dict(rows(played[0], "inventory", "select sku, available from stock"))
    assert (stock["LAMP-01"], stock["MUG-04"]) == (38, 299)
    assert rows(played[0], "payment", "select order_id, refunded from charges") == [("ORD-7001", 0)]


def test_the_reservations_came_back_by_the_lease_and_the_decline_by_the_agents_own_word(played: list[Path]) -> None:
    with closing(sqlite3.connect(played[0] / "toolgate.db")) as store:
        told = store.execute(
            "select substr(run, 1, 8), json_extract(data, '$.why') from events"
            " where kind = 'run' and agent = 'inventory' and json_extract(data, '$.state') = 'rolling_back'"
            " order by seq"
        ).fetchall()
    assert told == [("ORD-7002", "agent"), ("ORD-7003", "lease")]
