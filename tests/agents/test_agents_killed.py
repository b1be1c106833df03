"""Agents that are killed (kill -9) wherever it hits them, and gone on with until they are done: every effect once.

    TOOLGATE_LONG=1 python -m pytest tests/agents/test_agents_killed.py

kills at 200 points instead of 8.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nest import Agent, Nest
from real_shop import ADDRESS, RealShop, real_shop

POINTS = 200 if "TOOLGATE_LONG" in os.environ else 8
SEED = int(os.environ.get("TOOLGATE_SEED", "6"))
pytestmark = pytest.mark.timeout(3600 if POINTS > 8 else 300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealShop]:
    with real_shop(tmp_path_factory.mktemp("killed")) as shop:
        yield shop


class Killer:
    """Kills runs at points spread over all that they write down; `points` counts them."""

    def __init__(self, shop: RealShop, points: int) -> None:
        self.shop = shop
        self.left = points
        self.points: list[int] = []
        self.dice = random.Random(SEED)

    def drive(self, run: str, usual: int, *begin: str) -> str:
        """Begin a run of about `usual` entries, kill it up to four times, and let it end; what it said at last."""
        command = [*begin, "--run", run]
        for _ in range(min(self.left, self.dice.randint(1, 4))):
            process = self.shop.start(*command)
            now = self.shop.entries(run)
            self._await(run, self.dice.randint(now, max(usual, now + 4)), process)
            time.sleep(self.dice.uniform(0, 0.03))
            if process.is_running:
                self.points.append(self.shop.entries(run))
                self.left -= 1
            process.kill()
            if self.shop.entries(run):
                command = ["resume", run, "--take-over"]
        code, said = self.shop.finish(*command)
        assert code == 0, said
        return said

    def _await(self, run: str, entries: int, process: Agent) -> None:
        until = time.monotonic() + 60
        while self.shop.entries(run) < entries and process.is_running:
            assert time.monotonic() < until, "the run does not go on"
            time.sleep(0.002)


def test_orders_and_desk_end_as_if_nobody_had_killed_them_and_every_effect_is_there_once(shop: RealShop) -> None:
    message = f"CUS-1001 writes: {ADDRESS}"
    before = shop.stock()
    code, said = shop.finish("order", "--file", shop.order_file("ORD-0"), "--model", "scripted:order", "--run", "calm")
    assert code == 0, said
    wanted, usual = shop.effects("ORD-0"), shop.entries("calm")
    assert [len(found) for found in wanted.values()] == [2, 1, 1, 1, 1, 1]
    shop.new_customer()
    calm = ["desk", "--task", message.format(line1="0 Ferry St"), "--model", "scripted:desk", "--run", "calm-desk"]
    code, said = shop.finish(*calm)
    assert code == 0, said
    answered, usual_desk = shop.customer(), shop.entries("calm-desk")
    assert answered["entries"] == [("discount", 490, "discount code WELCOME10")]
    assert answered["address"] == [("0 Ferry St", 2)]

    killer, orders = Killer(shop, POINTS), 0
    while killer.left:
        orders += 1
        file = shop.order_file(f"ORD-{orders}")
        killer.drive(f"order-{orders}", usual, "order", "--file", file, "--model", "scripted:order")
        assert shop.effects(f"ORD-{orders}") == wanted
        if killer.left:
            shop.new_customer()
            task = message.format(line1=f"{orders} Ferry St")
            said = killer.drive(f"desk-{orders}", usual_desk, "desk", "--task", task, "--model", "scripted:desk")
            assert shop.customer() == {**answered, "address": [(f"{orders} Ferry St", 2)]}
            assert f"Parcels of CUS-1001 go to {orders} Ferry St" in said
    taken = {sku: count - shop.stock()[sku] for sku, count in before.items() if count != shop.stock()[sku]}
    assert taken == {"MUG-04": 2 * (orders + 1), "LAMP-01": orders + 1}
    assert shop.state.ledger.unknown() == []
    print(f"killed {len(killer.points)} times, after {sorted(killer.points)} entries; {orders} orders")


def test_a_run_that_waits_costs_no_process_and_goes_on_with_what_was_decided_meanwhile(shop: RealShop) -> None:
    shop.new_customer()
    shop.allowing.clear()
    task = f"CUS-1001 writes: {ADDRESS.format(line1='9 Pier')}"
    begin = ["desk", "--task", task, "--model", "scripted:desk", "--run", "patient", "--wait", "0"]
    code, said = shop.finish(*begin)
    assert (code, "python -m agents resume patient" in said) == (3, True), said
    assert shop.customer()["entries"] == []
    assert shop.finish("resume", "patient", "--wait", "0")[0] == 3
    assert shop.allow() == 1
    code, said = shop.finish("resume", "patient")
    assert (code, "4.90 USD were taken off" in said) == (0, True), said
    assert shop.customer()["entries"] == [("discount", 490, "discount code WELCOME10")]
    assert shop.customer()["address"] == [("9 Pier", 2)]
    shop.allowing.set()


def test_ctrl_c_leaves_a_run_that_can_be_gone_on_with_at_once(shop: RealShop) -> None:
    file = shop.order_file("ORD-INT")
    process = shop.start("order", "--file", file, "--model", "scripted:order", "--run", "stopped")
    until = time.monotonic() + 60
    while shop.entries("stopped") < 20:
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    code, said = process.wait(60)
    assert (code, "go on with it: python -m agents resume stopped" in said) == (130, True), said
    code, said = shop.finish("resume", "stopped")
    assert (code, "Order ORD-INT completed: 16 turns, 18 tool calls" in said) == (0, True), said
    assert len(shop.effects("ORD-INT")["charges"]) == 1


def test_a_run_that_another_process_drives_is_not_taken_without_being_asked(shop: RealShop) -> None:
    file = shop.order_file("ORD-TWO")
    first = shop.start("order", "--file", file, "--model", "scripted:hanging-order", "--run", "both")
    until = time.monotonic() + 60
    while shop.entries("both") < 20:
        assert time.monotonic() < until
        time.sleep(0.01)
    code, said = shop.finish("resume", "both")
    assert (code, "is driven by another process" in said) == (1, True), said
    first.kill()
    code, said = shop.finish("resume", "both", "--take-over", "--model", "scripted:order")
    assert code == 0, said
    assert [len(found) for found in shop.effects("ORD-TWO").values()] == [2, 1, 1, 1, 1, 1]


def test_a_run_goes_on_in_another_folder_with_a_journal_on_postgresql(
    shop: RealShop, tmp_path: Path, postgresql: str
) -> None:
    file = shop.order_file("ORD-PG")
    begin = ["order", "--file", file, "--model", "scripted:hanging-order", "--run", "moved"]
    first = shop.start(*begin, journal=postgresql)
    until = time.monotonic() + 60
    while len(shop.effects("ORD-PG")["reservations"]) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    first.kill()
    again = ["resume", "moved", "--take-over", "--model", "scripted:order"]
    with Nest(tmp_path) as elsewhere:
        code, said = shop.finish(*again, journal=postgresql, nest=elsewhere)
    assert code == 0, said
    assert [len(found) for found in shop.effects("ORD-PG").values()] == [2, 1, 1, 1, 1, 1]
    with sqlite3.connect(shop.journal) as journal:
        assert journal.execute("SELECT count(*) FROM entries WHERE run LIKE 'moved%'").fetchone() == (0,)
    journal.close()
