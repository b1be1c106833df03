"""Runs and steps as they stand in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select

from gateway.events import event_row, insert_events
from gateway.tables import runs, steps

UNDO = "undo/"
"""What keys begin with under which calls of runs are undone."""

RunState = Literal["active", "finished", "rolling_back", "rolled_back"]
StepState = Literal["sent", "done", "undone", "stuck", "settled"]


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs`, and how many of its steps stand in which state. Times are seconds since the epoch."""

    agent: str
    run: str
    state: RunState
    opened: float
    touched: float
    calls: int
    lease: float | None
    why: str | None
    steps: dict[str, int]


@dataclass(frozen=True, slots=True)
class Step:
    """A row of `steps`: call `call` of a tool, undone by the tool `undo` of the same server. `sealed` is a plan."""

    seq: int
    call: str
    agent: str
    run: str
    server: str
    tool: str
    undo: str
    sealed: str
    state: StepState
    attempts: int
    due: float
    ticket: str | None

    @classmethod
    def of_row(cls, row: Row[Any]) -> Step:
        return cls(**row._mapping)

    @property
    def key(self) -> str:
        """The idempotency key of the next attempt. It changes only when what came of the last one is known."""
        return f"{UNDO}{self.call}" if not self.attempts else f"{UNDO}{self.call}/{self.attempts}"


def locked(connection: Connection, agent: str, run: str) -> Row[Any] | None:
    """The run's row, which nobody else changes before the transaction ends."""
    of = select(runs).where(runs.c.agent == agent, runs.c.run == run).with_for_update()
    return connection.execute(of).one_or_none()


def move(connection: Connection, at: float, agent: str, run: str, state: RunState, why: str, **told: Any) -> None:
    """Put a run that has a row into another state, with its event, which says what is `told` too."""
    of = runs.update().where(runs.c.agent == agent, runs.c.run == run)
    connection.execute(of.values(state=state, touched=at, why=why))
    insert_events(connection, [event_row(at, "run", {"state": state, "why": why, **told}, agent=agent, run=run)])


def counted(connection: Connection, agent: str | None = None, run: str | None = None) -> dict[tuple[str, str], Any]:
    """By run, how many steps stand in which state; of one run or of all."""
    of = select(steps.c.agent, steps.c.run, steps.c.state, func.count().label("steps"))
    if agent is not None:
        of = of.where(steps.c.agent == agent)
    if run is not None:
        of = of.where(steps.c.run == run)
    found: dict[tuple[str, str], Any] = {}
    for row in connection.execute(of.group_by(steps.c.agent, steps.c.run, steps.c.state)):
        found.setdefault((row.agent, row.run), {})[row.state] = row.steps
    return found
