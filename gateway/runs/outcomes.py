"""What becomes of a step that is being undone: undone, to be tried again, or stuck until people say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, select

from gateway.approvals import Approvals
from gateway.approvals.ticket import masked
from gateway.call import Tool
from gateway.events import event_row, insert_events
from gateway.runs.rows import UNDO, Step, counted, locked, move
from gateway.runs.saga import Runs
from gateway.sealed import Unsealable
from gateway.settings import RunSettings
from gateway.tables import calls, runs, steps, tickets

_UNDECIDED = "nobody decided on the ticket before"
UNKNOWN = "it was sent, and it is not known whether it ran: look, and approve only if it did not"


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that certainly undid nothing: why, and how many seconds the upstream wants to be left alone."""

    why: str
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Stuck:
    """An attempt after which no other may be made unless people say so."""

    why: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Work for `Store.transact`. `draw` is a random number from 0 to 1."""

    runs: Runs
    approvals: Approvals
    settings: RunSettings
    tool: Callable[[str, str], Tool | None]
    draw: Callable[[], float]
    clock: Callable[[], float] = time.time

    def next(self, connection: Connection, agent: str, run: str) -> Step | None:
        """The step to undo now, the latest that is left; None when the run is not being undone, or is undone by now."""
        row = locked(connection, agent, run)
        if row is None or row.state != "rolling_back":
            return None
        of = select(steps).where(steps.c.agent == agent, steps.c.run == run, steps.c.state == "done")
        step = connection.execute(of.order_by(steps.c.seq.desc()).limit(1)).first()
        if step is not None:
            return Step.of_row(step)
        move(connection, self.clock(), agent, run, "rolled_back", row.why, left=self.left(connection, agent, run))
        return None

    def undone(self, connection: Connection, step: Step) -> None:
        """Again, where it was said with the outcome: a reply that was stored is answered without another outcome."""
        connection.execute(steps.update().where(steps.c.seq == step.seq).values(state="undone"))

    def failed(self, connection: Connection, step: Step, failed: Failed) -> bool:
        """Full jitter: the n-th wait is random * min(cap, base * 2**(n-1)). True when that was the last attempt.

        It is the last, too, when one before it, under the same key, may have run: another key would not tell. One
        whose outcome is known, and is still to be written, is none: what it is is seen once it is written.
        """
        of = self.settings
        if not self._stands(connection, step):
            return False
        before = connection.execute(select(calls.c.state).where(_attempted(step))).scalar_one_or_none()
        if before == "unknown":
            self.stuck(connection, step, UNKNOWN)
            return True
        if before == "open":
            connection.execute(steps.update().where(steps.c.seq == step.seq).values(due=self.clock() + of.base))
            return False
        attempts = step.attempts + 1
        connection.execute(steps.update().where(steps.c.seq == step.seq).values(attempts=attempts))
        made = attempts % of.attempts
        if made == 0:
            self.stuck(
                connection, step, f"{of.attempts} attempts failed, the last because {failed.why}: approve to try again"
            )
            return True
        wait = max(failed.rest, self.draw() * min(of.cap, of.base * 2 ** (made - 1)))
        connection.execute(steps.update().where(steps.c.seq == step.seq).values(due=self.clock() + wait))
        return False

    def stuck(self, connection: Connection, step: Step, why: str) -> None:
        """People are asked. The steps before it go on."""
        if not self._stands(connection, step):
            return
        ticket = self.approvals.give_up(
            connection,
            agent=step.agent,
            run=step.run,
            server=step.server,
            tool=step.undo,
            call=step.call,
            why=f"{step.server}/{step.tool} was to be undone: {why}",
            shown=self.shown(step),
        )
        connection.execute(steps.update().where(steps.c.seq == step.seq).values(state="stuck", ticket=ticket.id))
        self._event(connection, step, {"result": "stuck", "why": why, "ticket": ticket.id})

    def _stands(self, connection: Connection, step: Step) -> bool:
        """Whether it is still to be undone: another replica, which had the duty, may have done so meanwhile."""
        state = select(steps.c.state).where(steps.c.seq == step.seq).with_for_update()
        return connection.execute(state).scalar_one_or_none() in ("done", "stuck")

    def heed(self, connection: Connection) -> None:
        """Do as was decided. Approved: as many attempts again, under keys of their own. Rejected: settled by hand."""
        decided = select(steps, tickets.c.state.label("decision")).join(tickets, tickets.c.id == steps.c.ticket)
        decided = decided.where(steps.c.state == "stuck", tickets.c.state != "pending").with_for_update()
        for row in connection.execute(decided).all():
            fields = dict(row._mapping)
            decision, step = fields.pop("decision"), Step(**fields)
            of = steps.update().where(steps.c.seq == step.seq)
            if decision == "expired":
                self.stuck(connection, step, _UNDECIDED)
                continue
            connection.execute(calls.delete().where(_attempted(step), calls.c.state == "unknown"))
            if decision == "rejected":
                connection.execute(of.values(state="settled"))
            else:
                rounds = step.attempts // self.settings.attempts + 1
                fresh = rounds * self.settings.attempts  # so that the next attempt has a key that was never used
                connection.execute(of.values(state="done", attempts=fresh, due=self.clock()))
                self.runs.reopen(connection, step.agent, step.run, "approved")
            self._event(connection, step, {"result": decision, "ticket": step.ticket})

    def shown(self, step: Step) -> dict[str, Any]:
        """The arguments of the undoing as people may see them."""
        try:
            plan = self.runs.plan(step.call, step.sealed)
        except Unsealable:
            return {}
        tool = self.tool(step.server, step.undo)
        secret = frozenset(plan.secret) | (tool.facts.secrets if tool is not None else frozenset())
        return masked(plan.arguments, secret)

    def waiting(self, connection: Connection) -> tuple[list[tuple[str, str]], bool]:
        """Runs that are to be undone (agent, run) and have no call under way in any process that may change something,
        and whether people decided on a step.
        """
        changing = exists().where(calls.c.state == "open", calls.c.agent == runs.c.agent, calls.c.run == runs.c.run)
        changing = changing.where(calls.c.reads.is_not(True), calls.c.key.is_(None) | ~calls.c.key.startswith(UNDO))
        of = select(runs.c.agent, runs.c.run).where(runs.c.state == "rolling_back", ~changing)
        rolling = connection.execute(of).all()
        decided = select(func.count()).select_from(steps.join(tickets, tickets.c.id == steps.c.ticket))
        decided = decided.where(steps.c.state == "stuck", tickets.c.state != "pending")
        return [(row.agent, row.run) for row in rolling], connection.execute(decided).scalar_one() > 0

    def left(self, connection: Connection, agent: str, run: str) -> int:
        """How many steps of a run wait for people."""
        stand = counted(connection, agent, run).get((agent, run), {})
        return int(stand.get("stuck", 0) + stand.get("sent", 0))

    def _event(self, connection: Connection, step: Step, data: dict[str, Any]) -> None:
        told = {"attempts": step.attempts, **data}
        of = {"call": step.call, "agent": step.agent, "server": step.server, "tool": step.undo, "run": step.run}
        insert_events(connection, [event_row(self.clock(), "undo", told, **of)])


def _attempted(step: Step) -> ColumnElement[bool]:
    """The call that was made to undo this step under the key it has now."""
    return (calls.c.agent == step.agent) & (calls.c.key == step.key)
