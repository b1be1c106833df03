"""Databases for tests: SQLite files, new databases of a PostgreSQL server, and servers that a test has for itself.

The server is at `TOOLGATE_TEST_POSTGRESQL`. Where none can be reached, tests that need one are skipped and say so;
where `CI` is true they fail instead.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from processes import free_port
from sqlalchemy import make_url, text

from gateway.store import Store

SERVER = os.environ.get("TOOLGATE_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1/postgres")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: a SQLite file at `path`, or at `url` on PostgreSQL, with the state folder around `path`."""

    path: Path
    url: str | None = None

    def open(self, *told: Any, **named: Any) -> Store:
        """A store there; arguments are those of `Store` behind the path."""
        return Store(self.path, *told, url=self.url, **named)

    @property
    def setting(self) -> str:
        """The line of the table `[gateway]` that names it."""
        return "" if self.url is None else f'database = "{self.url}"'

    def execute(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """One statement, beside the store and committed; the rows it gives."""
        store = self.open()
        try:
            with store.engine.begin() as connection:
                found = connection.execute(text(statement), values)
                return [dict(row) for row in found.mappings()] if found.returns_rows else []
        finally:
            store.stop()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else can write there meanwhile."""
        store = self.open()
        try:
            with store.database.connect() as connection:
                if self.url is None:
                    connection.exec_driver_sql("BEGIN EXCLUSIVE")
                else:
                    connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
                    connection.exec_driver_sql("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
                yield
                connection.exec_driver_sql("ROLLBACK")
                connection.invalidate()
        finally:
            store.stop()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table; where they are numbered, in that order."""
        rows = self.execute(f"SELECT * FROM {table}")
        return sorted(rows, key=lambda row: row["seq"]) if rows and "seq" in rows[0] else rows


def missing(problem: str, what: str = "PostgreSQL") -> None:
    """Skip the test for want of PostgreSQL, or of `what` it is, or fail it where there has to be one."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed: {problem}")
    pytest.skip(f"no {what}: {problem}")


@contextmanager
def new_database(server: str = SERVER) -> Iterator[str]:
    """The URL of an empty database of `server` that is gone afterwards, whoever is still connected to it."""
    name = f"toolgate_test_{os.getpid()}_{next(_numbers)}"
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        missing(f"{make_url(server).render_as_string()}: {error}")
    with closing(connection):
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with closing(psycopg.connect(server, autocommit=True, connect_timeout=5)) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Server:
    """A PostgreSQL server of a test's own, to be stopped and started at will. `url` is a database of it."""

    def __init__(self) -> None:
        self._programs = _programs()
        # Not in pytest's folder: each session that starts shuts the folder above it for other users.
        self._folder = Path(tempfile.mkdtemp(prefix="toolgate-postgresql-"))
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self, *, wait: bool = True) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._run("pg_ctl", "start", "-D", "data", "-l", "log", "-o", options, "-w" if wait else "-W")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends every connection, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-D", "data", "-m", mode, "-w")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop it, if it runs, and remove its files."""
        with contextlib.suppress(RuntimeError):
            self.stop("immediate")
        shutil.rmtree(self._folder)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        with (self._folder / "output").open("ab") as output:
            ran = subprocess.run(command, cwd=self._folder, user=self._user, stdout=output, stderr=output, timeout=60)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{(self._folder / 'output').read_text()}")


def _programs() -> Path:
    """Where `initdb` and `pg_ctl` are."""
    beside = shutil.which("pg_ctl")
    found = [Path(beside).parent] if beside else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        missing("pg_ctl is not installed")
    return found[-1]
