"""What changes is heard of by NOTIFY, also after the connection that listens was cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from databases import Place
from raw_client import eventually

from gateway.changes import bump
from gateway.hints import follow

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()
"""


async def test_a_change_elsewhere_is_heard_of_and_again_after_the_connection_was_cut(postgresql: Place) -> None:
    here, there = postgresql.open(), postgresql.open()
    heard: list[str] = []

    def change(topic: str) -> bool:
        there.run(lambda connection: bump(connection, topic))
        return topic in heard

    listening = asyncio.create_task(follow(here, heard.append))
    try:
        await eventually(lambda: change("tokens"), 10)
        assert postgresql.execute(CUT)
        await eventually(lambda: change("pins"), 20)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        here.stop()
        there.stop()
