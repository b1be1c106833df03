"""What the tests of the ledger share: a ledger in a store of its own, calls, and a gateway with limits and budgets."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
from databases import Place
from recorder import Shop

from gateway.approvals import Approvals
from gateway.audit import Audit
from gateway.call import Call, Facts, Permit, Principal, Result, Silent, Tool
from gateway.config import load
from gateway.ledger import Ledger
from gateway.runs import Runs
from gateway.sealed import Vault
from gateway.settings import ApprovalSettings
from gateway.state import State
from gateway.terms import NO_TERMS, Spend, Terms

NOON = 1_800_014_400.0
"""Twelve o'clock of some day, UTC."""
REPLY: Result = {"content": [{"type": "text", "text": "Done."}]}


class Clock:
    """Seconds since the epoch, as told."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Books:
    """A ledger in the store at a place. `owner` names the process, `chain` is where its events go where there are
    several; its writer is not started.
    """

    def __init__(self, place: Place, owner: str = "one", chain: str = "main") -> None:
        self.place = place
        self.clock = Clock()
        self.store = place.open(clock=self.clock, chain=chain)
        self.audit = Audit(self.store, b"a" * 32, self.clock)
        vault = Vault(b"v" * 32)
        approvals = Approvals(self.store, vault, ApprovalSettings(), self.clock)
        runs = Runs(self.store, vault, self.clock)
        self.ledger = Ledger(self.store, self.audit, vault, approvals, runs, owner, 3600.0, self.clock)

    async def end(self, call: Call, outcome: Any, result: Result | None = None) -> None:
        await self.ledger.end(call, outcome, seconds=0.1, result=result, reason=None)

    async def made(self, call: Call, result: Result = REPLY) -> Result:
        """The answer to a call that goes well when it is sent."""
        stored = await self.ledger.begin(call)
        if stored is not None:
            return stored
        await self.end(call, "ok", result)
        return result

    def settle(self, call: str, verdict: Literal["happened", "did_not"]) -> bool:
        work = partial(self.ledger.settle, call=call, reviewer="grace", verdict=verdict, words="Looked.")
        return self.store.run(work)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.place.rows(table)

    def totals(self) -> dict[str, int]:
        """What every account stands at, by its name."""
        return {row["account"]: row["total"] for row in self.rows("accounts")}

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, columns and data in one."""
        return [event | json.loads(event["data"]) for event in self.rows("events") if event["kind"] == kind]


def rows(database: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order in which they came."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def call(identity: str, *, terms: Terms = NO_TERMS, idempotent: bool = False, **fields: Any) -> Call:
    """A call of shop/pay by ada that policy has let through, with an amount of 5 unless it is told otherwise."""
    facts = Facts(idempotent=idempotent, secrets=frozenset({"card"}))
    arguments = fields.pop("arguments", {"amount": 5})
    given: dict[str, Any] = {
        "principal": Principal("ada", "t1"),
        "server": "shop",
        "tool": "pay",
        "name": "shop__pay",
        "arguments": arguments,
        "given": arguments,
        "peer": Silent(),
        "era": "modern",
        "definition": Tool("shop", "pay", {"name": "pay"}, facts, lambda arguments: None),
        "permit": Permit("rule", "digest", terms=terms),
    }
    return Call(id=identity, **{**given, **fields})


def spend(amount: int = 5, maximum: int = 10, kind: Literal["limit", "budget"] = "budget") -> Spend:
    return Spend(kind, f"{kind}/ada/pay", "w", amount, maximum, NOON + 60, f"{maximum} a minute")


SERVERS = """
[servers.shop]
url = "{url}"
max_concurrent = 300
[servers.shop.tools.look]
idempotent = true
[throttle]
per_second = 100000
burst = 100000
"""
POLICIES = {
    "worker.toml": 'agent = "worker"\ndescription = "Calls everything."\n[[allow]]\ntool = "shop/*"\n',
    "other.toml": 'agent = "other"\ndescription = "Calls everything."\n[[allow]]\ntool = "shop/*"\n',
    "spender.toml": 'agent = "spender"\ndescription = "Spends."\n[[allow]]\ntool = "shop/pay"\n'
    'budget = [{ sum = "amount", max = 100, per = "run" }]\n'
    '[[allow]]\ntool = "shop/note"\nlimit = ["2/day"]\n',
}


def servers(shop: Shop) -> str:
    return SERVERS.format(url=shop.url)


def beside(config: Path) -> State:
    """The state of a gateway, opened beside it as the CLI does."""
    return State(load(config, {}))


def settle_all(config: Path, ran: Iterable[str]) -> int:
    """Settle every unknown call as a reviewer would who knows which ran, by key or text; how many there were."""
    state, known = beside(config), set(ran)
    found = state.ledger.unknown()
    for each in found:
        verdict = "happened" if {each.key, json.loads(each.shown)["text"]} & known else "did_not"
        work = partial(state.ledger.settle, call=each.call, reviewer="grace", verdict=verdict, words="Looked.")
        assert state.store.run(work)
    state.close()
    return len(found)


def digests(result: Mapping[str, Any]) -> set[str]:
    """SHA-256 of a result as the upstream may have sent it: `resultType`, which the gateway puts first, anywhere."""
    rest = [(key, value) for key, value in result.items() if key != "resultType"]
    forms = [dict([*rest[:place], ("resultType", "complete"), *rest[place:]]) for place in range(len(rest) + 1)]
    return {hashlib.sha256(orjson.dumps(form)).hexdigest() for form in (dict(rest), *forms)}
