"""The database behind the store: SQLite in a file, or PostgreSQL by its URL. What differs between them is here.

On both, one transaction at a time changes tables: SQLite sees to that by itself, on PostgreSQL each takes its turn by
a lock, across all replicas. So what a piece of work has read stays true until it ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.chain import Chain
from gateway.events import PENDING
from gateway.migrate import migrate, set_up_sqlite

_PATIENCE = 5.0
"""Seconds to wait for others that use the database."""
_TURN = 7_203_911
"""The advisory lock by which transactions that change tables take turns."""
_KEEPALIVE = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


class Database:
    """Opened, with all its tables. `chain` is the name of the chain that events are written to.

    Raises SQLAlchemyError.
    """

    def __init__(self, path: Path, url: str | None = None, chain: str = "main") -> None:
        self.postgresql = url is not None
        self.chain = chain if self.postgresql else "main"
        self.engine = _postgresql(url) if url is not None else _sqlite(path)
        migrate(self.engine)

    def connect(self) -> Connection:
        """A connection on which each statement is a transaction, unless `transaction` says otherwise."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def writing(self, busy: float) -> Connection:
        """One that waits no longer than `busy` seconds for others."""
        connection = self.connect()
        milliseconds = f"{busy * 1000:.0f}"
        if self.postgresql:
            connection.exec_driver_sql(f"SET lock_timeout = {milliseconds}; SET statement_timeout = {milliseconds}")
        else:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds}")
        return connection

    def new_chain(self) -> Chain:
        return Chain(self.chain, postgresql=self.postgresql)

    @contextlib.contextmanager
    def transaction(self, connection: Connection, chain: Chain) -> Iterator[None]:
        """Take a turn at changing tables; what is done within, its events among it, is written whole or not at all."""
        # Two statements in one go: each costs a round trip.
        begin = f"BEGIN; SELECT pg_advisory_xact_lock({_TURN})" if self.postgresql else "BEGIN IMMEDIATE"
        try:
            connection.exec_driver_sql(begin)
            connection.info[PENDING] = []
            yield
            chain.write(connection, connection.info.pop(PENDING))
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            chain.forget()
            _roll_back(connection)
            raise


@contextlib.contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """A part of a transaction that is undone alone when it raises, unless it is the database that fails."""
    written = len(connection.info[PENDING])
    connection.exec_driver_sql("SAVEPOINT work")
    try:
        yield
    except OperationalError:
        raise
    except BaseException:
        connection.exec_driver_sql("ROLLBACK TO work")
        connection.exec_driver_sql("RELEASE work")
        del connection.info[PENDING][written:]
        raise
    connection.exec_driver_sql("RELEASE work")


def _roll_back(connection: Connection) -> None:
    connection.info.pop(PENDING, None)
    with contextlib.suppress(DBAPIError):  # it has done so itself after some errors, and is gone after others
        connection.exec_driver_sql("ROLLBACK")


def _sqlite(path: Path) -> Engine:
    # The log holds arguments in clear: it is for its owner only.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _PATIENCE})
    event.listen(engine, "connect", set_up_sqlite)
    return engine


def _postgresql(url: str) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), connect_args=_KEEPALIVE, pool_pre_ping=True
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    """Others must not wait for ever for a replica that stands still in the middle of a transaction."""
    patience = f"{_PATIENCE * 1000:.0f}"
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {patience}; SET idle_in_transaction_session_timeout = {patience}")
    connection.commit()
