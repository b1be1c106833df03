"""The database behind the store: SQLite in a file, or PostgreSQL by its URL. What differs between them is here.

On both, one transaction at a time changes tables: SQLite sees to that by itself, on PostgreSQL each takes its turn by
a lock, across all replicas. So what a piece of work has read stays true until it ends.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.chain import Chain
from gateway.errors import ConfigError, Problem
from gateway.events import PENDING
from gateway.migrate import TURN, migrate

_PATIENCE = 5.0
"""Seconds to wait for others that use the database."""
_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
"""A server that is not there any more is noticed within about ten seconds, in seconds but for the last."""


class Database:
    """Opened, with all its tables. `chain` is the name of the chain that events are written to.

    Raises ConfigError and SQLAlchemyError.
    """

    def __init__(self, path: Path, url: str | None = None, chain: str = "main") -> None:
        self.postgresql = url is not None
        self.chain = chain if self.postgresql else "main"
        self.engine = _postgresql(url) if url is not None else _sqlite(path)
        self._closed = False
        if self.postgresql:
            event.listen(self.engine, "checkin", self._returned)
        try:
            migrate(self.engine)
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Let go of all connections, those that are in use as soon as they no longer are."""
        self._closed = True
        self.engine.dispose()

    def _returned(self, connection: Any, _record: Any) -> None:
        """What a thread that was left behind gives back is of no use to the pool that is there by then."""
        if self._closed and connection is not None:
            connection.close()

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
        begin = f"BEGIN; SELECT pg_advisory_xact_lock({TURN})" if self.postgresql else "BEGIN IMMEDIATE"
        try:
            connection.exec_driver_sql(begin)
            connection.info[PENDING] = []
            yield
            _end(connection, chain)
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


def _end(connection: Connection, chain: Chain) -> None:
    """Write the events of a transaction, then end it. Raises SQLAlchemyError, as everything else in it does."""
    try:
        chain.write(connection, connection.info.pop(PENDING))
    except connection.dialect.loaded_dbapi.Error as error:
        raise OperationalError("INSERT INTO events", None, error) from error
    connection.exec_driver_sql("COMMIT")


def _roll_back(connection: Connection) -> None:
    connection.info.pop(PENDING, None)
    with contextlib.suppress(DBAPIError):  # it has done so itself after some errors, and is gone after others
        connection.exec_driver_sql("ROLLBACK")


def _sqlite(path: Path) -> Engine:
    # The log holds arguments in clear: it is for its owner only.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _PATIENCE})
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _postgresql(url: str) -> Engine:
    try:
        from gateway.texts import without_nul
    except ImportError:
        message, fix = "needs the driver psycopg", "install toolgate[postgresql]"
        raise ConfigError([Problem("database", "gateway.database", message, fix)]) from None
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        connect_args=_KEEPALIVE,
        pool_pre_ping=True,
        pool_timeout=_PATIENCE,
    )
    event.listen(engine, "connect", _set_up_postgresql)
    event.listen(engine, "connect", without_nul)
    return engine


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    """Others must not wait for ever for a replica that stands still in the middle of a transaction."""
    patience = f"{_PATIENCE * 1000:.0f}"
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {patience}; SET idle_in_transaction_session_timeout = {patience}")
    connection.commit()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000:.0f}")
    _keep_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _keep_ahead(cursor: Any) -> None:
    """Use a write-ahead log. SQLite does not itself wait for others that change a new file to it, or write to it."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
