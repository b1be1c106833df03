"""Runs in the store: open, finished, failed, being undone, undone; and the steps that can be undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, exists, select, tuple_

from gateway.audit import short_name
from gateway.call import OWN, Call, Facts, Result
from gateway.errors import RunClosed, RunExhausted
from gateway.runs.leases import GRACE, SHARED_GRACE, Leases, RunKey, lease_of
from gateway.runs.plan import Plan, plan
from gateway.runs.rows import Run, RunState, Step, counted, locked, move
from gateway.sealed import Vault
from gateway.store import Store
from gateway.tables import runs, steps, tickets

_MOST = 200
"""Runs forgotten at once: calls wait meanwhile."""
_MEANT = {"finished": ("finished",), "failed": ("rolling_back", "rolled_back")}
"""The states of a run that is over which a mark comes to."""


class Runs:
    """Methods that take a connection are work for `Store.transact` or `Store.run`."""

    def __init__(self, store: Store, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.leases = Leases(grace=SHARED_GRACE if store.database.postgresql else GRACE)
        self._vault = vault
        self._clock = clock

    # -- calls of a run

    def enter(self, connection: Connection, call: Call) -> None:
        """A call of a run is about to be sent: open the run or renew its lease, and count the call.

        Raises RunClosed when it is over, RunExhausted when `call.permit.ceilings` are reached.
        """
        if call.run is None or call.undoes is not None or call.server == OWN:
            return
        facts = call.definition.facts if call.definition is not None else Facts(read_only=True)
        bounded = call.permit is not None and call.permit.ceilings.of_runs
        lease, now = lease_of(call), self._clock()
        row = locked(connection, call.principal.agent, call.run)
        if row is None:
            if facts.compensate is None and lease is None and not bounded:
                return
            self._open(connection, call.principal.agent, call.run, lease, calls=1)
        else:
            if row.state != "active":
                if facts.read_only:
                    return
                raise _closed(call, row.state)
            _check_ceilings(call, row, now)
            self._touch(connection, row, lease, calls=row.calls + 1)
        if facts.compensate is not None:
            of = {"agent": call.principal.agent, "run": call.run, "server": call.server, "tool": short_name(call.tool)}
            sealed = self._sealed(call.id, plan(call, facts.compensate))
            state = {"state": "sent", "attempts": 0, "due": now}
            connection.execute(
                steps.insert().values(call=call.id, undo=facts.compensate.tool, sealed=sealed, **of, **state)
            )

    def leave(self, connection: Connection, call: Call, result: Result) -> None:
        """A call of a run was answered: register what undoes it, where its tool declares that. One that its tool
        answered with an error did nothing.
        """
        if result.get("isError"):
            connection.execute(steps.delete().where(steps.c.call == call.id))
        elif call.undoes is not None:
            connection.execute(steps.update().where(steps.c.call == call.undoes).values(state="undone"))
        elif call.run is not None and call.definition is not None and call.definition.facts.compensate is not None:
            self._complete(connection, call.id, result)

    def spare(self, connection: Connection, call: Call) -> None:
        """A call that had entered was not made after all: it does not count."""
        if call.run is None or call.undoes is not None or call.server == OWN:
            return
        connection.execute(steps.delete().where(steps.c.call == call.id))
        row = locked(connection, call.principal.agent, call.run)
        if row is not None and row.state == "active" and row.calls > 0:
            self._update(connection, row, calls=row.calls - 1)

    def settle(self, connection: Connection, call: str, happened: bool) -> None:
        """A person found out what became of a call of unknown outcome: it can be undone now, or need not be."""
        if happened:
            self._complete(connection, call, {})
        else:
            connection.execute(steps.delete().where(steps.c.call == call, steps.c.state == "sent"))

    def _complete(self, connection: Connection, call: str, result: Result) -> None:
        """A step that was sent is done. One whose run is undone already has the undoing begin again."""
        step = connection.execute(select(steps).where(steps.c.call == call).with_for_update()).one_or_none()
        if step is None or step.state != "sent":  # the run was finished meanwhile
            return
        sealed = self._sealed(call, self.plan(call, step.sealed).filled(result))
        connection.execute(steps.update().where(steps.c.call == call).values(state="done", sealed=sealed))
        self.reopen(connection, step.agent, step.run, "settled")

    # -- states of a run

    def mark(
        self, connection: Connection, agent: str, run: str, state: str, *, lease: float | None = None, why: str = ""
    ) -> bool:
        """`active` (renew the lease; 0: none), `finished` (closed, nothing is kept), `failed` (to be undone).

        False when the run is over already, unless its agent says just that of it again: the answer may have been lost.
        `why` says who: agent, operator, lease.
        """
        row = locked(connection, agent, run)
        if row is not None and row.state != "active":
            return why == "agent" and row.state in _MEANT.get(state, ())
        now = self._clock()
        if row is None:
            self._open(connection, agent, run, lease, calls=0)
        if state == "active":
            if row is not None:
                self._touch(connection, row, lease)
            return True
        if state == "finished":
            connection.execute(steps.delete().where(steps.c.agent == agent, steps.c.run == run))
        move(connection, now, agent, run, "finished" if state == "finished" else "rolling_back", why)
        return True

    def lapse(
        self, connection: Connection, agent: str, run: str, *, spared: bool, touched: float | None = None
    ) -> bool:
        """The lease of a run ran out: it has failed, unless `spared`, or touched at another time than is known. True
        when a pending ticket holds it.
        """
        of = select(tickets.c.id).where(
            tickets.c.state == "pending", tickets.c.agent == agent, tickets.c.run == run, tickets.c.kind != "undo"
        )
        if connection.execute(of.limit(1)).first() is not None:
            return True
        row = locked(connection, agent, run)
        if spared or row is None or row.state != "active" or row.lease is None:
            return False
        if touched in (None, row.touched):
            move(connection, self._clock(), agent, run, "rolling_back", "lease")
        return False

    def heard(self, connection: Connection, keys: Sequence[RunKey]) -> None:
        """This process heard of runs: others see that their leases go on."""
        mine = runs.c.state == "active", runs.c.lease.is_not(None)
        for place in range(0, len(keys), _MOST):
            these = tuple_(runs.c.agent, runs.c.run).in_(keys[place : place + _MOST])
            connection.execute(runs.update().where(*mine, these).values(touched=self._clock()))

    def leased(self) -> list[tuple[RunKey, float, float]]:
        """Active runs that have a lease: key, seconds, and when they were touched."""
        of = select(runs.c.agent, runs.c.run, runs.c.lease, runs.c.touched)
        found = self.store.read(of.where(runs.c.state == "active", runs.c.lease.is_not(None)))
        return [((row.agent, row.run), row.lease, row.touched) for row in found]

    def reopen(self, connection: Connection, agent: str, run: str, why: str) -> None:
        """A step of the run is to be undone after all: a run that counts as undone is not, yet."""
        row = locked(connection, agent, run)
        if row is not None and row.state == "rolled_back":
            move(connection, self._clock(), agent, run, "rolling_back", why)

    def sweep(self, connection: Connection, before: float) -> bool:
        """Forget some runs that nothing happened to since `before`, and their steps, but for those that wait for
        people; whether there may be more.
        """
        waiting = exists().where(
            steps.c.agent == runs.c.agent, steps.c.run == runs.c.run, steps.c.state.in_(["sent", "stuck"])
        )
        old = select(runs.c.agent, runs.c.run).where(runs.c.touched < before, runs.c.state != "rolling_back", ~waiting)
        old = old.where((runs.c.state != "active") | runs.c.lease.is_(None))
        found = connection.execute(old.limit(_MOST)).all()
        for agent, run in found:
            connection.execute(steps.delete().where(steps.c.agent == agent, steps.c.run == run))
            connection.execute(runs.delete().where(runs.c.agent == agent, runs.c.run == run))
        return len(found) == _MOST

    def _open(self, connection: Connection, agent: str, run: str, lease: float | None, *, calls: int) -> None:
        now = self._clock()
        times = {"opened": now, "touched": now, "lease": lease or None}
        connection.execute(runs.insert().values(agent=agent, run=run, state="active", calls=calls, **times))

    def _touch(self, connection: Connection, row: Row[Any], lease: float | None, **values: int) -> None:
        """Something happened in the run; `lease` is what was said of it: None nothing, 0 that it has none any more."""
        if lease is None:
            self._update(connection, row, touched=self._clock(), **values)
        else:
            self._update(connection, row, touched=self._clock(), lease=lease or None, **values)

    def _update(self, connection: Connection, row: Row[Any], **values: Any) -> None:
        connection.execute(runs.update().where(runs.c.agent == row.agent, runs.c.run == row.run).values(**values))

    # -- reading

    def find(self, *, state: RunState | None = None, agent: str | None = None, run: str | None = None) -> list[Run]:
        """Runs, those that something happened to last first."""
        of = select(runs).order_by(runs.c.touched.desc())
        for column, value in ((runs.c.state, state), (runs.c.agent, agent), (runs.c.run, run)):
            of = of if value is None else of.where(column == value)
        with self.store.engine.connect() as connection:
            rows, stand = connection.execute(of).all(), counted(connection, agent, run)
        return [Run(**row._mapping, steps=stand.get((row.agent, row.run), {})) for row in rows]

    def steps(self, agent: str, run: str) -> list[Step]:
        """What was done in a run and can, or could, be undone: the latest first."""
        of = select(steps).where(steps.c.agent == agent, steps.c.run == run).order_by(steps.c.seq.desc())
        return [Step.of_row(row) for row in self.store.read(of)]

    def plan(self, call: str, sealed: str) -> Plan:
        """Raises Unsealable."""
        return Plan.of_json(self._vault.open(sealed, _place(call)))

    def _sealed(self, call: str, plan: Plan) -> str:
        return self._vault.seal(plan.json(), _place(call))


def _place(call: str) -> str:
    return f"steps/{call}"


def _check_ceilings(call: Call, row: Row[Any], now: float) -> None:
    assert call.permit is not None
    ceilings, used = call.permit.ceilings, None
    if ceilings.calls is not None and row.calls >= ceilings.calls:
        used = f"its calls: it has made {row.calls} of {ceilings.calls}"
    elif ceilings.seconds is not None and now - row.opened >= ceilings.seconds:
        used = f"its time: it began {now - row.opened:.0f} seconds ago and may last {ceilings.seconds:.0f}"
    if used is not None:
        raise RunExhausted(
            f"Run {row.run!r} has used up {used}. Nothing was run; end with what you have, and report what is left."
        )


def _closed(call: Call, state: str) -> RunClosed:
    why = {"finished": "is finished", "rolling_back": "has failed and is being undone", "rolled_back": "was undone"}
    return RunClosed(
        f"Run {call.run!r} {why[state]}, so nothing more can be done in it. Nothing was run; report how it stands, or "
        "begin a new run for new work."
    )
