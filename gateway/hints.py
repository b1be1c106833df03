"""NOTIFY of PostgreSQL, by which a change is heard of at once. A hint: what counts is the version that is polled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.changes import CHANNEL
from gateway.store import Store

log = logging.getLogger("toolgate.store")

_REST = 2.0


async def follow(store: Store, heard: Callable[[str], None]) -> None:
    """Have `heard` told, for ever, of topics that change. Nothing on SQLite, or while the database is away."""
    if not store.database.postgresql:
        return
    import psycopg  # only who shares a database has it

    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                async for hint in connection.notifies():
                    heard(hint.payload)
        except psycopg.Error as error:
            log.debug("changes are only polled for now (%s)", type(error).__name__)
        await asyncio.sleep(_REST)
