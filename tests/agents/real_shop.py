"""The shop for tests that kill agents: eight real servers and a real gateway, with the policies of this repository.

What the servers' own databases hold is what tests believe.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gateway_process import ROOT, GatewayProcess
from nest import Agent, Nest
from processes import running

from agents.desk import JOBS as DESK
from agents.order import JOBS as ORDER
from gateway.config import load
from gateway.state import State

SERVERS = ("catalog", "inventory", "pricing", "payment", "fulfillment", "customers", "billing", "records")
ADDRESS = '"Please send my parcel to {line1}, San Francisco, CA 94111, US, apply the code WELCOME10. Where is it?"'
_READY = re.compile(r"^(\w+) ready on http://[^:]+:(\d+)/mcp", re.MULTILINE)


class RealShop:
    """`folder` holds everything. A person allows whatever waits, unless `allowing` is cleared."""

    def __init__(self, folder: Path, gateway: GatewayProcess, nest: Nest) -> None:
        self.folder = folder
        self.nest = nest
        self.gateway = gateway
        self.journal = str(folder / "agents.db")
        self.tokens = folder / "tokens.json"
        self.tokens.write_text(json.dumps({name: gateway.token(name) for name in (*ORDER, *DESK)}))
        self.state = State(load(gateway.config, {}))
        self.allowing = threading.Event()
        self.allowing.set()

    def start(self, *arguments: str, journal: str = "", nest: Nest | None = None) -> Agent:
        """A process of its own, by default one whose working folder is that of the shop."""
        more = ["--journal", journal or self.journal, "--gateway", self.gateway.url(), "--tokens", str(self.tokens)]
        return (nest or self.nest).start([*arguments, *more])

    def finish(self, *arguments: str, **more: Any) -> tuple[int | None, str]:
        """Run an agent process to its end: its exit code and what it said."""
        return self.start(*arguments, **more).wait(100)

    def entries(self, run: str) -> int:
        """How many entries a run and its parts have in the journal."""
        if not Path(self.journal).exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=10)) as journal:
            try:
                among = (run, f"{run}/%")
                found = journal.execute("SELECT count(*) FROM entries WHERE run = ? OR run LIKE ?", among)
                return int(found.fetchone()[0])
            except sqlite3.OperationalError:  # the tables are not there yet
                return 0

    def rows(self, server: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "servers" / f"{server}.db", timeout=10)) as books:
            found = books.execute(query, values).fetchall()
            books.commit()
            return found

    def order_file(self, order: str) -> str:
        """An order of two mugs and a lamp."""
        file = self.folder / f"{order}.json"
        whole = json.loads((ROOT / "agents" / "examples" / "order.json").read_text())
        items = [{"sku": "MUG-04", "quantity": 2}, {"sku": "LAMP-01", "quantity": 1}]
        file.write_text(json.dumps({**whole, "order_id": order, "items": items}))
        return str(file)

    def effects(self, order: str) -> dict[str, Any]:
        """All that the servers hold of an order, without ids and times."""
        held = "SELECT sku, quantity, state FROM reservations WHERE order_id = ? ORDER BY sku"
        mails = "SELECT recipient, replace(subject, ?, 'ORDER') FROM outbox WHERE subject LIKE ?"
        labels = "SELECT count(*) FROM labels JOIN shipments ON shipment_id = shipments.id WHERE order_id = ?"
        return {
            "reservations": self.rows("inventory", held, order),
            "charges": self.rows("payment", "SELECT amount, currency, refunded FROM charges WHERE order_id = ?", order),
            "parcels": self.rows("fulfillment", "SELECT status, items FROM shipments WHERE order_id = ?", order),
            "labels": self.rows("fulfillment", labels, order),
            "orders": self.rows("fulfillment", "SELECT status, version FROM orders WHERE id = ?", order),
            "mails": self.rows("fulfillment", mails, order, f"%{order} %"),
        }

    def stock(self) -> dict[str, int]:
        return dict(self.rows("inventory", "SELECT sku, available FROM stock"))

    def customer(self) -> dict[str, Any]:
        """What the servers hold of the customer of the desk."""
        account = "SELECT due, paid, refunded FROM accounts WHERE customer_id = 'CUS-1001'"
        entries = "SELECT kind, amount, reason FROM entries WHERE customer_id = 'CUS-1001'"
        return {
            "account": self.rows("billing", account),
            "entries": self.rows("billing", entries),
            "address": self.rows("customers", "SELECT line1, version FROM customers WHERE id = 'CUS-1001'"),
        }

    def new_customer(self) -> None:
        """As the customer was in the beginning."""
        self.rows("billing", "UPDATE accounts SET due = 4900, version = 1 WHERE customer_id = 'CUS-1001'")
        self.rows("billing", "DELETE FROM entries")
        changed = "UPDATE customers SET line1 = '500 Howard St', version = 1 WHERE id = 'CUS-1001'"
        self.rows("customers", changed)

    def allow(self) -> int:
        """Approve what waits; how many there were."""
        found = self.state.approvals.find(states=["pending"])
        for ticket in found:
            self.state.store.run(
                lambda connection, name=ticket.id: self.state.approvals.decide(connection, name, "rita", "approve", "")
            )
        return len(found)


@contextmanager
def real_shop(folder: Path) -> Iterator[RealShop]:
    """A shop that is open inside the block."""
    keys = {f"{name.upper()}_KEY": secrets.token_urlsafe(16) for name in SERVERS}
    log = folder / "servers.log"
    command = [sys.executable, "-m", "servers", "--base-port", "0", "--data", str(folder / "servers")]

    def ports() -> dict[str, str]:
        return dict(_READY.findall(log.read_text())) if log.exists() else {}

    environ = {**os.environ, **keys, "PYTHONPATH": str(ROOT)}
    with running(command, lambda: len(ports()) == len(SERVERS), log, environ):
        given = {**keys, **{f"{name.upper()}_PORT": port for name, port in ports().items()}}
        with GatewayProcess(folder, _servers(given), _policies()) as gateway, Nest(folder) as nest:
            shop = RealShop(folder, gateway, nest)
            shop.rows("inventory", "UPDATE stock SET available = 10000")
            stop = threading.Event()
            person = threading.Thread(target=_allow, args=(shop, stop))
            person.start()
            try:
                yield shop
            finally:
                stop.set()
                person.join()
                shop.state.close()


def _allow(shop: RealShop, stop: threading.Event) -> None:
    while not stop.wait(0.4):
        if shop.allowing.is_set():
            shop.allow()


def _servers(environ: Mapping[str, str]) -> str:
    """The servers of `gateway.toml`, without references to the environment; requests are held for a second."""
    text = (ROOT / "gateway.toml").read_text()
    text = text[text.index("[servers.catalog]") :]
    filled = re.sub(r"\$\{(\w+)(?::-[^}]*)?\}", lambda match: environ[match[1]], text)
    return f"{filled}\n[approvals]\nhold = 1.0\n[throttle]\nper_second = 1000\nburst = 1000\n"


def _policies() -> dict[str, str]:
    """The policies of these agents, without limits and budgets: many orders are made in a short time."""
    files = {}
    for name in (*ORDER, *DESK):
        text = (ROOT / "policies" / f"{name}.toml").read_text()
        files[f"{name}.toml"] = re.sub(r"^(limit|budget) = .*\n", "", text, flags=re.MULTILINE)
    roles = {f"roles/{path.name}": path.read_text() for path in (ROOT / "policies" / "roles").glob("*.toml")}
    return {**files, **roles}
