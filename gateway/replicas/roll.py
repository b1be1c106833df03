"""The roll: a row of `replicas` for each process, and who has the duty. Times are the database's own, in seconds since
the epoch, so that the clocks of machines are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, and_, cast, exists, extract, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from gateway.store import Store
from gateway.tables import calls, duties, replicas

DUTY = "all"
"""There is one duty: all that one replica does for the others."""
DUTY_SECONDS = 5.0
"""How long the duty stays with who has it, unless that says so again."""
SILENCE = 10.0
"""Seconds after which a replica that was not heard of counts as dead."""
_FORGOTTEN = 86_400.0
"""Seconds for which a replica that left is still listed."""
_NAMES = 7_203_912
"""The class of the advisory locks by which a name belongs to one process."""
_RECOVERIES = 7_203_913
"""The class of those by which one process at a time recovers what one of a name left behind."""

_NOW = cast(extract("epoch", func.clock_timestamp()), Float(53))


@dataclass(frozen=True, slots=True)
class Replica:
    """A row of `replicas`. `silent`: seconds since its last beat; `duty`: whether it has the duty."""

    owner: str
    name: str
    address: str | None
    policy: str | None
    started: float
    beat: float
    left: float | None
    silent: float
    duty: bool

    @property
    def state(self) -> str:
        """`alive`, `silent` (it may be dead) or `left`."""
        if self.left is not None:
            return "left"
        return "alive" if self.silent < SILENCE else "silent"


def listed(store: Store) -> list[Replica]:
    """All that are known, the longest known first. PostgreSQL only."""
    return [_replica(row) for row in store.read(_known())]


def watched(connection: Connection) -> list[Replica]:
    """Those that have not left, and those that have and still own calls under way: these may have come back, and died
    before they said so.
    """
    owns = exists().where(calls.c.owner == replicas.c.owner, calls.c.state == "open")
    return [_replica(row) for row in connection.execute(_known().where(or_(replicas.c.left.is_(None), owns)))]


def address_of(store: Store, mine: str, owner: str | None, task: str | None) -> str | None:
    """Where another replica than `mine` is reached: `owner`, or the one where the call of this task is under way. None
    when there is none, it has left, or never said.
    """
    of = select(replicas.c.address).where(replicas.c.owner != mine, replicas.c.left.is_(None))
    if task is not None:
        of = of.join_from(replicas, calls, calls.c.owner == replicas.c.owner)
        of = of.where(calls.c.ticket == task, calls.c.state == "open")
    else:
        of = of.where(replicas.c.owner == owner)
    rows = store.read(of)
    return rows[0].address if rows else None


def hold_name(connection: Connection, name: str) -> bool:
    """Have the name for as long as this connection lives; False when another has it. PostgreSQL only."""
    # The server is to see soon that a machine is gone, and let go of its name.
    connection.execute(
        text("SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3")
    )
    got = connection.execute(select(func.pg_try_advisory_lock(_NAMES, func.hashtext(name))))
    return bool(got.scalar_one())


@contextmanager
def recovering(connection: Connection, name: str) -> Iterator[None]:
    """Be alone in recovering what a process of this name left behind."""
    of = _RECOVERIES, func.hashtext(name)
    connection.execute(select(func.pg_advisory_lock(*of)))
    try:
        yield
    finally:
        with suppress(DBAPIError):  # it goes with the connection
            connection.execute(select(func.pg_advisory_unlock(*of)))


def is_alive(connection: Connection, name: str) -> bool:
    """Whether a process of this name is on the roll, and has not left."""
    there = select(replicas.c.owner).where(replicas.c.name == name, replicas.c.left.is_(None))
    return connection.execute(there).first() is not None


def enter(connection: Connection, owner: str, name: str, address: str | None, policy: str) -> list[str]:
    """Put a process on the roll, in the place of all of its name; their owners."""
    same = replicas.c.name == name
    before = [*connection.execute(select(replicas.c.owner).where(same)).scalars()]
    connection.execute(replicas.update().where(same, replicas.c.left.is_(None)).values(left=_NOW))
    connection.execute(replicas.delete().where(~same, replicas.c.left < _NOW - _FORGOTTEN))
    row = {"owner": owner, "name": name, "address": address, "policy": policy}
    connection.execute(replicas.insert().values(**row, started=_NOW, beat=_NOW))
    return before


def beat(connection: Connection, owner: str, policy: str) -> bool:
    """Say that it lives; False when it counts as gone."""
    mine = replicas.update().where(replicas.c.owner == owner, replicas.c.left.is_(None))
    return connection.execute(mine.values(beat=_NOW, policy=policy)).rowcount == 1


def come_back(connection: Connection, owner: str, name: str, address: str | None, policy: str) -> bool:
    """One that counted as gone is there again; False when another process has its name now."""
    taken = exists().where(replicas.c.name == name, replicas.c.owner != owner, replicas.c.left.is_(None))
    row = {"owner": owner, "name": name, "address": address, "policy": policy}
    columns = [*row, "started", "beat"]
    values = select(*[literal(value, replicas.c[key].type) for key, value in row.items()], _NOW, _NOW).where(~taken)
    there = insert(replicas).from_select(columns, values)
    again = there.on_conflict_do_update(index_elements=["owner"], set_={"beat": _NOW, "policy": policy, "left": None})
    return connection.execute(again.returning(replicas.c.owner)).first() is not None


def bury(connection: Connection, replica: Replica) -> bool:
    """One that was silent counts as gone; False when it was heard of since."""
    same = and_(replicas.c.owner == replica.owner, replicas.c.beat == replica.beat)
    return connection.execute(replicas.update().where(same).values(left=_NOW)).rowcount == 1


def leave(connection: Connection, owner: str) -> None:
    """It stops in good order: another may have the duty at once."""
    connection.execute(replicas.update().where(replicas.c.owner == owner).values(left=_NOW))
    connection.execute(duties.delete().where(duties.c.owner == owner))


def take_duty(connection: Connection, owner: str) -> bool:
    """Have the duty, or go on having it; False while another has it."""
    values = {"owner": owner, "until": _NOW + DUTY_SECONDS}
    free = or_(duties.c.owner == owner, duties.c.until < _NOW)
    take = insert(duties).values(name=DUTY, **values)
    taken = take.on_conflict_do_update(index_elements=["name"], set_=values, where=free)
    return connection.execute(taken.returning(duties.c.owner)).first() is not None


def _known() -> Any:
    has = exists().where(duties.c.owner == replicas.c.owner, duties.c.until > _NOW)
    silent = (_NOW - replicas.c.beat).label("silent")
    return select(replicas, silent, has.label("duty")).order_by(replicas.c.started, replicas.c.owner)


def _replica(row: Any) -> Replica:
    return Replica(**row._mapping)
