"""Bringing a database to what this release needs, by the revisions in `gateway.migrations`.

Several processes may do so at once. Revisions only add, so a gateway goes on with a database that a later release has
brought further, as long as that release says it can.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text

from gateway.errors import ConfigError, Problem
from gateway.tables import about

log = logging.getLogger("toolgate.store")

HEAD = "0002"
"""The revision that this release needs: the last one, so that most starts need not look for it."""
TURN = 7_203_911
"""The advisory lock of PostgreSQL by which transactions that change tables take turns."""
_PATIENCE = "60s"
_FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """All tables, as far as this release knows them. Raises ConfigError and SQLAlchemyError."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = _revision(connection)
        if found is None or found < HEAD:
            _upgrade_alone(connection)
        elif found > HEAD:
            _check_usable(connection, found)


def _revision(connection: Connection) -> str | None:
    """The revision of the database, None for one that has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found is not None and not found.isdecimal():
        raise _unusable("holds the tables of another application", "give the gateway a database or schema of its own")
    return found


def _upgrade_alone(connection: Connection) -> None:
    """In one transaction; whoever comes second waits, and finds it done."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        turn = f"SELECT pg_advisory_xact_lock({TURN})"
        connection.exec_driver_sql(f"BEGIN; SET LOCAL lock_timeout = '{_PATIENCE}'; {turn}")
    found = _revision(connection)
    if found is None or found < HEAD:
        _upgrade(connection)
        log.info("the database is at revision %s now", HEAD)
    connection.exec_driver_sql("COMMIT")


def _upgrade(connection: Connection) -> None:
    # Here, for it takes long to import and is seldom needed.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")
    oldest = max(each.module.oldest for each in ScriptDirectory.from_config(config).walk_revisions())
    connection.execute(delete(about).where(about.c.name == "oldest"))
    connection.execute(insert(about).values(name="oldest", value=oldest))


def _check_usable(connection: Connection, found: str) -> None:
    oldest = connection.execute(select(about.c.value).where(about.c.name == "oldest")).scalar_one()
    if oldest > HEAD:
        message = f"is at revision {found} and needs a release that knows {oldest}; this one knows {HEAD}"
        raise _unusable(message, "install the release that the other gateways run")
    log.info("the database is at revision %s, this release knows %s: a later one uses it too", found, HEAD)


def _unusable(message: str, fix: str) -> ConfigError:
    return ConfigError([Problem("database", "gateway.database", message, fix)])
