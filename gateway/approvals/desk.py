"""The tickets in the store, and the calls of this process that wait for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from gateway.approvals import deciding, opening, sweeping, using
from gateway.approvals.book import Book
from gateway.approvals.counts import Counts
from gateway.approvals.history import Share, decided_since, history
from gateway.approvals.ticket import Ticket, Verdict
from gateway.approvals.waiting import Waiting
from gateway.approvals.webhook import Courier
from gateway.aside import aside
from gateway.call import Call
from gateway.errors import Refused, Unrecorded
from gateway.metrics import Metrics
from gateway.sealed import Vault
from gateway.settings import ApprovalSettings
from gateway.store import Store
from gateway.tables import tickets
from gateway.terms import Gate

log = logging.getLogger("toolgate.approvals")

_SWEEP = 1.0
"""Seconds between two looks at the time."""


class Approvals:
    """Methods that take a connection are work for `Store.transact` or `Store.run`: they write their event with it.

    The others belong to the gateway's process, on its loop. CLI, HTTP API and console share `decide`.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        settings: ApprovalSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.settings = settings
        self._book = Book(vault, settings, clock, self._touch)
        self._waiting = Waiting(store, self._book)
        self._touched = False

    # -- work within a transaction

    def open(self, connection: Connection, call: Call, gate: Gate) -> Ticket:
        """The ticket of this call, one that stands for the same call already, or a new one.

        Raises KeyConflict when its key stands for another call, TooManyPending when a new one is one too many.
        """
        return opening.open_ticket(self._book, connection, call, gate)

    def ask(self, connection: Connection, call: Call, reason: str) -> Ticket:
        """A new ticket of kind `request`: an agent says that something is beyond it. Raises TooManyPending."""
        return opening.ask(self._book, connection, call, reason)

    def give_up(
        self, connection: Connection, *, agent: str, run: str, server: str, tool: str, call: str, why: str, shown: Any
    ) -> Ticket:
        """A new ticket of kind `undo`: call `call` of a run cannot be undone by `tool`, and `why`. Never expires soon.

        Approved: it is tried again. Rejected: it stays as it is, settled by hand.
        """
        return opening.give_up(
            self._book, connection, agent=agent, run=run, server=server, tool=tool, call=call, why=why, shown=shown
        )

    def decide(
        self,
        connection: Connection,
        ticket: str,
        reviewer: str,
        verdict: Verdict,
        words: str = "",
        arguments: Mapping[str, Any] | None = None,
        seen: Collection[str] = (),
    ) -> Ticket:
        """A reviewer's decision; `arguments`, if any, replace those the agent gave. The ticket as it stands then.

        Arguments that are declared secret stay as the agent gave them, whatever stands for them in `arguments`. `seen`
        are digests (`shown.content`), or how they begin, of what the reviewer was shown: nobody decides on what they
        never saw. Raises Undecidable, with a reason: absent, edited, decided, expired, requester, tier, twice,
        arguments.
        """
        return deciding.decide(self._book, connection, ticket, reviewer, verdict, words, arguments, seen)

    def withdraw(self, connection: Connection, ticket: str, agent: str) -> Ticket:
        """Its own agent does not want it any more. One that is decided stays. Raises TicketUnknown."""
        return deciding.withdraw(self._book, connection, ticket, agent)

    def present(self, connection: Connection, call: Call) -> tuple[Ticket | None, Refused | None]:
        """The ticket that `call.ticket` names, and why it does not carry this call, if so; then it may be void now.

        A ticket that is consumed passes: the ledger has its reply, or refuses.
        """
        return using.present(self._book, connection, call)

    def consume(self, connection: Connection, call: Call) -> None:
        """Use up `call.ticket` for this call. Raises TicketVoid and its kinds, TicketUnknown, Rejected."""
        using.consume(self._book, connection, call)

    def restore(self, connection: Connection, call: Call) -> None:
        """The call that used up `call.ticket` had no effect, or goes on with answers: the ticket may be used again."""
        using.restore(self._book, connection, call)

    # -- reading; beside the loop or in the CLI

    def get(self, ticket: str) -> Ticket | None:
        """A ticket by its id."""
        return self._waiting.get(ticket)

    def of_agent(self, ticket: str, agent: str) -> Ticket | None:
        """The ticket, if this agent can wait for it; what cannot be undone of a run is for people only."""
        found = self.get(ticket)
        return found if found is not None and found.agent == agent and found.kind != "undo" else None

    def find(
        self,
        *,
        states: Sequence[str] = (),
        agent: str | None = None,
        run: str | None = None,
        limit: int = 200,
        soonest: bool = False,
    ) -> list[Ticket]:
        """Tickets, newest first; `soonest`: those first that expire first, so that what is cut off has time."""
        order = tickets.c.expires if soonest else tickets.c.opened.desc()
        found = select(tickets).order_by(order, tickets.c.id).limit(limit)
        if states:
            found = found.where(tickets.c.state.in_(states))
        if agent is not None:
            found = found.where(tickets.c.agent == agent)
        if run is not None:
            found = found.where(tickets.c.run == run)
        return [self._book.read(row) for row in self.store.read(found)]

    def history(self, since: float = 0.0) -> list[Share]:
        """What was decided on tickets opened since then, by tool and band of confidence."""
        return history(self.store.read(decided_since(since)))

    # -- in the gateway's process

    async def wait(self, ticket: str, seconds: float) -> Ticket | None:
        """The ticket once it is no longer pending; None when it still is after `seconds`, or when there is none."""
        return await self._waiting.wait(ticket, seconds)

    def watch(self, heard: Callable[[Ticket], None]) -> Callable[[], None]:
        """Have `heard` told of every ticket that changes, whoever changed it; call what is returned to end that."""
        return self._waiting.watch(heard)

    async def run(self, metrics: Metrics, on_duty: Callable[[], bool] = lambda: True) -> None:
        """Follow changes and, on duty, expire, escalate, remind and deliver notices, for ever."""
        courier = Courier(self.store, self._book, metrics, on_duty)
        ends = [self.watch(Counts(metrics, self.store).heard), self.watch(courier.heard)]
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._waiting.follow())
                tasks.create_task(self._sweep_for_ever(on_duty))
                tasks.create_task(courier.run())
        finally:
            for end in ends:
                end()

    async def sweep(self) -> bool:
        """Do what is due to some tickets; whether there was anything."""
        due = await aside(partial(sweeping.overdue, self.store, self._book))
        if due:
            await self.store.transact(partial(sweeping.sweep, self._book, ids=due))
        return bool(due)

    async def _sweep_for_ever(self, on_duty: Callable[[], bool]) -> None:
        while True:
            try:
                while on_duty() and await self.sweep():
                    pass
            except Unrecorded:
                log.warning("tickets cannot be written: what is due to them waits")
            except Exception:  # whatever it is: were this task to end, nothing would expire any more
                log.exception("tickets could not be looked at")
            await asyncio.sleep(_SWEEP)

    def _touch(self) -> None:
        self._touched = True

    def committed(self) -> None:
        """A group of writes is durable: those who wait hear of it now. From any thread."""
        if self._touched:
            self._touched = False
            self._waiting.wake()

    def hinted(self) -> None:
        """Tickets changed somewhere: those who wait look now. From any thread."""
        self._waiting.wake()
