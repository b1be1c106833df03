"""Idempotency keys, reservations, tickets and runs of calls, moved together with their events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from gateway import budgets
from gateway.approvals import Approvals
from gateway.aside import aside
from gateway.audit import Audit, Outcome, unfinished
from gateway.call import Call, Result
from gateway.errors import Unrecorded
from gateway.events import EventRow, insert_events
from gateway.ledger import claims, sweep, unsettled
from gateway.ledger.unsettled import Finding, Unknown
from gateway.runs import Runs
from gateway.runs.rows import UNDO
from gateway.sealed import Vault
from gateway.store import Store, Work
from gateway.tables import calls

log = logging.getLogger("toolgate.ledger")

_AGAIN = 0.5
"""Seconds between attempts to write what could not be written."""
_FAREWELL = 3.0
_LOOK = 2.0
"""Seconds between two counts of what is to be settled."""
_SWEEP = 60.0
"""Seconds between two looks for rows that are old."""


class Ledger:
    """Idempotency keys, reservations, tickets and runs of calls, moved together with intent and outcome events.

    `owner` names this process; replies are kept for `keep` seconds.
    """

    def __init__(
        self,
        store: Store,
        audit: Audit,
        vault: Vault,
        approvals: Approvals,
        runs: Runs,
        owner: str,
        keep: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.audit = audit
        self.vault = vault
        self.approvals = approvals
        self.runs = runs
        self.owner = owner
        self.keep = keep
        self.clock = clock
        self.fenced: Callable[[], bool] = lambda: False
        """Whether other replicas may take this process for dead, so that it must send nothing."""
        self.returned = False
        """Whether they did, and some of its calls are still in doubt because of that: see `reclaim`."""
        self._owed: list[Work[None]] = []

    def begin(self, call: Call) -> Awaitable[Result | None]:
        """Durable before the call is sent: its claim on its key, its ticket used up, what it takes of limits and
        budgets, its run, and its intent event.

        The stored result when it was made under this key before. Raises KeyConflict, OutcomeUnknown, InFlight,
        LimitExceeded, BudgetExceeded, RunExhausted, RunClosed, TicketVoid and its kinds, Unrecorded. When it raises
        anything but a refusal, or Unrecorded, `end` has to follow: it may be written after all.
        """
        if not claims.kept(call):
            return self.audit.intent(call)
        arguments = self.audit.redacted(call)
        event = self.audit.intent_row(call, arguments)
        row = self._row(call, "open", arguments)
        return self.store.transact(partial(self._begin, call=call, row=row, event=event))

    def _begin(self, connection: Connection, *, call: Call, row: dict[str, Any], event: EventRow) -> Result | None:
        done = claims.held(connection, row)
        if done is not None:
            reply: Result = self.vault.open(done.reply, _place(done.id))
            return reply
        if call.ticket is not None:
            self.approvals.consume(connection, call)
        budgets.reserve(connection, call.id, call.spends, self.clock())
        if claims.in_run(call):
            self.runs.enter(connection, call)
        claims.put(connection, row)
        insert_events(connection, [event])
        return None

    def end(
        self, call: Call, outcome: Outcome, *, seconds: float, result: Result | None, reason: str | None
    ) -> asyncio.Future[None]:
        """Durable before the reply: the outcome event, and what follows from it. Handed to the writer at once.

        ok, tool_error: the reply is kept, the compensation registered (ok only), what was reserved committed (budgets
        of a tool_error released). failed, input_required: as if it had not been made. unknown: everything is kept, and
        a person has to settle it unless the tool is idempotent. When it cannot be written in time it is written as
        soon as it can be, for as long as the process lives. Once it is written, another end changes nothing; but where
        the process was taken for dead, and nobody has settled the call since, this is what counts.
        """
        event = self.audit.outcome_row(call, outcome, seconds=seconds, result=result, reason=reason)
        if claims.kept(call):
            stored = result is not None and claims.claim(call) is not None and outcome in ("ok", "tool_error")
            reply = self.vault.seal(result, _place(call.id)) if stored else None
            work = partial(self._end, call=call, outcome=outcome, result=result, reply=reply, event=event)
            return self._owe(work)
        if outcome != "unknown" or not claims.settles(call):
            return self.store.append(event)
        row = self._row(call, "unknown", self.audit.redacted(call))
        return self.store.transact(partial(_doubt, row=row, event=event))

    def _end(
        self,
        connection: Connection,
        *,
        call: Call,
        outcome: Outcome,
        result: Result | None,
        reply: str | None,
        event: EventRow,
    ) -> None:
        if claims.under_way(connection, call.id, self.owner) is None:
            return  # never begun, or ended already
        match outcome:
            case "ok" | "tool_error":
                self._done(connection, call, outcome, result, reply)
            case "unknown" if claims.settles(call):
                claims.become(connection, call.id, "unknown", self.clock())
            case "unknown":
                claims.remove(connection, call.id)
            case _:
                self._undone(connection, call)
        insert_events(connection, [event])

    def _done(
        self, connection: Connection, call: Call, outcome: Outcome, result: Result | None, reply: str | None
    ) -> None:
        if outcome == "ok":
            budgets.commit(connection, call.id)
        else:
            budgets.release(connection, call.id, keep_limits=True)
        if reply is None:
            claims.remove(connection, call.id)
        else:
            claims.become(connection, call.id, "done", self.clock(), reply)
        if outcome == "ok" and call.undoes is not None:
            claims.undone(connection, call.undoes, self.clock())
        if result is not None and claims.in_run(call):
            self.runs.leave(connection, call, result)

    def _undone(self, connection: Connection, call: Call) -> None:
        budgets.release(connection, call.id)
        claims.remove(connection, call.id)
        if call.ticket is not None:
            self.approvals.restore(connection, call)
        if claims.in_run(call):
            self.runs.spare(connection, call)

    def _owe(self, work: Work[None]) -> asyncio.Future[None]:
        """Hand in work that must be written, now or later: it changes nothing when it was written already."""
        done = self.store.transact(work)

        def ended(done: asyncio.Future[None]) -> None:
            if done.cancelled() or isinstance(done.exception(), Unrecorded):
                self._owed.append(work)

        done.add_done_callback(ended)
        return done

    def _row(self, call: Call, state: str, arguments: Any) -> dict[str, Any]:
        """`arguments` as the audit log has them."""
        shown = orjson.dumps(arguments).decode()
        return claims.row(call, state=state, owner=self.owner, at=self.clock(), shown=shown)

    async def run(self, told: Callable[[int], None], on_duty: Callable[[], bool] = lambda: True) -> None:
        """Write what could not be written, tell how many calls are to be settled and, on duty, sweep: for ever."""
        looked, swept = -_LOOK, -_SWEEP
        while True:
            owed, self._owed = self._owed, []
            for work in owed:
                self._owe(work)
            now = time.monotonic()
            try:
                if now - looked >= _LOOK:
                    told(await aside(partial(unsettled.count, self.store)))
                    looked = now
                if on_duty() and now - swept >= _SWEEP and not await self.store.transact(self.sweep):
                    swept = now
            except (Unrecorded, SQLAlchemyError) as error:
                log.debug("the store cannot be looked through now (%s)", type(error).__name__)
            await asyncio.sleep(_AGAIN)

    async def close(self) -> None:
        """Write what could not be written, as far as that takes a moment: who comes next would take it for lost."""
        until = time.monotonic() + _FAREWELL
        while self._owed and time.monotonic() < until:
            owed, self._owed = self._owed, []
            await asyncio.gather(*map(self._owe, owed), return_exceptions=True)
            await asyncio.sleep(0)  # what failed again is owed again by now

    def sweep(self, connection: Connection) -> bool:
        """Remove replies that were kept long enough, and sums of windows that are over; whether there may be more."""
        return sweep.sweep(connection, self.clock(), self.keep)

    def recover(self) -> Sequence[str]:
        """Before anything is served, where no other process is: calls that were left open become unknown; their ids."""
        gone = calls.c.owner != self.owner
        return self.store.run(
            lambda connection: unsettled.recover(
                connection, gone, unfinished(connection), owner=self.owner, now=self.clock()
            )
        )

    def recover_of(self, connection: Connection, owners: Sequence[str], begun: Sequence[Row[Any]]) -> list[str]:
        """The same for processes, one at least, that count as gone; `begun` is what is `unfinished` in their chain, the
        last owner is who may come back.
        """
        gone = calls.c.owner.in_(owners)
        return unsettled.recover(connection, gone, begun, owner=owners[-1], now=self.clock())

    def reclaim(self, connection: Connection) -> bool:
        """This process was taken for dead, and is not: what it can say of its calls counts. Whether some are left."""
        return unsettled.reclaim(connection, self.owner)

    def unknown(self) -> list[Unknown]:
        """Calls to be settled, oldest first."""
        return unsettled.listed(self.store)

    def settle(self, connection: Connection, call: str, reviewer: str, verdict: Finding, words: str) -> bool:
        """A reviewer found out. happened: reservations are committed and the key is answered with that; did_not: it is
        as if it had not been made; its run hears of both. False when there is no such call to settle.
        """
        row = claims.find(connection, call, "unknown")
        if row is None or (row.key or "").startswith(UNDO):
            return False
        if verdict == "happened":
            budgets.commit(connection, call)
            reply = self.vault.seal(unsettled.ANSWER, _place(call))
            if row.key is None:
                claims.remove(connection, call)
            else:
                claims.become(connection, call, "done", self.clock(), reply)
        else:
            budgets.release(connection, call)
            claims.remove(connection, call)
            self.approvals.restore(connection, claims.call_of(row))
        self.runs.settle(connection, call, verdict == "happened")
        insert_events(connection, [unsettled.settled(row, self.clock(), reviewer, verdict, words)])
        return True


def _place(call: str) -> str:
    """What a stored reply is sealed to."""
    return f"calls/{call}"


def _doubt(connection: Connection, *, row: dict[str, Any], event: EventRow) -> None:
    claims.put(connection, row)
    insert_events(connection, [event])
