"""The rows of calls that the store has to know of: their claim on a key, and what became of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from gateway.audit import short_name
from gateway.call import OWN, Call, Principal, Silent
from gateway.errors import InFlight, KeyConflict, OutcomeUnknown, RunClosed
from gateway.fingerprint import fingerprint_of
from gateway.tables import calls, tickets


def kept(call: Call) -> bool:
    """Whether the store has to know of this call while it is under way; of any other the log is enough."""
    claims = claim(call) is not None
    return claims or call.ticket is not None or bool(call.spends) or in_run(call)


def claim(call: Call) -> str | None:
    """The key that only one call can have: a call that has a ticket is made once, any other unless it is repeatable."""
    return call.key if call.ticket is not None or not repeatable(call) else None


def repeatable(call: Call) -> bool:
    """Whether it may simply be made again: an idempotent call, unless each time would be undone on its own."""
    facts = call.definition.facts if call.definition is not None else None
    undone = call.run is not None and call.undoes is None and facts is not None and facts.compensate is not None
    return call.idempotent and not undone


def in_run(call: Call) -> bool:
    """Whether the run of this call has to know of it."""
    if call.run is None or call.permit is None or call.server == OWN:
        return False
    return not call.reads or call.permit.ceilings.of_runs or "toolgate/lease" in call.meta


def settles(call: Call) -> bool:
    """Whether a person has to find out, once nobody knows whether this call ran."""
    return claim(call) is not None or not repeatable(call) or bool(call.spends)


def row(call: Call, *, state: str, owner: str, at: float, shown: str) -> dict[str, Any]:
    """A row of `calls`."""
    return {
        "id": call.id,
        "agent": call.principal.agent,
        "key": claim(call),
        "fingerprint": fingerprint_of(call),
        "server": call.server,
        "tool": short_name(call.tool),
        "run": call.run,
        "ticket": call.ticket,
        "state": state,
        "owner": owner,
        "at": at,
        "idempotent": repeatable(call),
        "reads": call.reads,
        "shown": shown,
    }


def held(connection: Connection, values: dict[str, Any]) -> Row[Any] | None:
    """The row of a call that has this key and is done, None when there is none.

    Raises KeyConflict when it is another call, OutcomeUnknown or InFlight when it is not done, RunClosed when it was
    undone.
    """
    if values["key"] is None:
        return None
    same = (calls.c.agent == values["agent"]) & (calls.c.key == values["key"])
    there = connection.execute(select(calls).where(same).with_for_update()).one_or_none()
    if there is None:
        return None
    if values["fingerprint"] not in (there.fingerprint, *_of_ticket(connection, there.ticket)):
        raise KeyConflict(
            "The idempotency key of this call stands for another one: other arguments, or another tool. Nothing was "
            "run; a call that is not a repeat needs a key of its own."
        )
    if there.state == "unknown":
        raise OutcomeUnknown(
            "This call was sent before, and nobody knows whether it took effect. It was not sent again. Look whether "
            "it did and report it: a person has to settle this. Do not call again under another key."
        )
    if there.state == "open":
        raise InFlight(
            "This very call is still under way. It was not sent again; repeat it later with the same key to get its "
            "answer.",
            retry_after=1.0,
        )
    if there.state == "undone":
        raise RunClosed(
            "This call was made before, and undone since with its run. Nothing was run; if it is wanted again, make it "
            "in a new run, under another key."
        )
    return there


def _of_ticket(connection: Connection, ticket: str | None) -> tuple[str | None, ...]:
    """What calls for this ticket may be: with the arguments the agent gave, and with those a reviewer put there."""
    if ticket is None:
        return ()
    found = connection.execute(select(tickets.c.fingerprint, tickets.c.edited).where(tickets.c.id == ticket)).first()
    return () if found is None else (found.fingerprint, found.edited)


def call_of(row: Row[Any]) -> Call:
    """A call as far as its row still tells."""
    return Call(
        id=row.id,
        principal=Principal(row.agent, ""),
        server=row.server,
        tool=row.tool,
        arguments={},
        peer=Silent(),
        era="modern",
        run=row.run,
        key=row.key,
        ticket=row.ticket,
    )


def put(connection: Connection, values: dict[str, Any]) -> None:
    connection.execute(insert(calls).values(values))


def find(connection: Connection, call: str, state: str) -> Row[Any] | None:
    """The row of call `call`, when it is in this state."""
    there = (calls.c.id == call) & (calls.c.state == state)
    return connection.execute(select(calls).where(there).with_for_update()).one_or_none()


def under_way(connection: Connection, call: str, owner: str) -> Row[Any] | None:
    """The row of a call that has not ended: one of a process that was taken for dead meanwhile is in doubt, or lost."""
    mine = (calls.c.owner == owner) & calls.c.state.in_(("unknown", "lost"))
    there = (calls.c.id == call) & ((calls.c.state == "open") | mine)
    return connection.execute(select(calls).where(there).with_for_update()).one_or_none()


def become(connection: Connection, call: str, state: str, at: float, reply: str | None = None) -> None:
    connection.execute(update(calls).where(calls.c.id == call).values(state=state, at=at, reply=reply))


def undone(connection: Connection, call: str, at: float) -> None:
    """What call `call` did is undone: its reply would say that it stands."""
    there = (calls.c.id == call) & (calls.c.state == "done")
    connection.execute(update(calls).where(there).values(state="undone", at=at, reply=None))


def remove(connection: Connection, call: str) -> None:
    connection.execute(delete(calls).where(calls.c.id == call))
