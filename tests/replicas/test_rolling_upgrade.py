"""Gateways of this release and of a next one, which has brought the database further, serve side by side."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest
from databases import Place
from fleet import Balanced, Fleet
from ledger_parts import POLICIES, servers
from raw_client import eventually, pool
from recorder import Nursery, shops

import gateway
from gateway.migrate import HEAD

NEXT = f"{int(HEAD) + 1:04}"
REVISION = f'''
from alembic import op
from sqlalchemy import Column, String, Text

revision, down_revision, oldest = "{NEXT}", "{HEAD}", "{HEAD}"


def upgrade() -> None:
    op.add_column("tokens", Column("note", Text))
    op.create_table("news", Column("name", String, primary_key=True))
'''


def next_release(folder: Path) -> dict[str, str]:
    """A copy of the gateway with one revision more, and the environment in which it is the one that runs."""
    copy = folder / "next" / "gateway"
    shutil.copytree(Path(gateway.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / f"migrations/versions/r{NEXT}_news.py").write_text(REVISION)
    for name, before, after in (
        ("migrate.py", f'HEAD = "{HEAD}"', f'HEAD = "{NEXT}"'),
        ("tables.py", '    Column("claims", Text),\n', '    Column("claims", Text),\n    Column("note", Text),\n'),
    ):
        text = (copy / name).read_text()
        assert text.count(before) == 1
        (copy / name).write_text(text.replace(before, after))
    return {"PYTHONPATH": str(copy.parent), "PYTHONSAFEPATH": "1"}


@pytest.mark.timeout(300)
async def test_releases_serve_side_by_side_and_nothing_is_lost(
    nursery: Nursery, tmp_path: Path, postgresql: Place
) -> None:
    newer, stop = next_release(tmp_path), asyncio.Event()
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        Fleet(tmp_path, postgresql.url or "", servers(shop), POLICIES, ("one", "two")) as fleet,
    ):
        one, two = fleet.gateways
        async with pool() as session:
            client = fleet.client(session, "worker")
            working = [asyncio.create_task(work(client, f"w{number}", stop)) for number in range(3)]
            # The second is upgraded; the first is restarted as it was; then upgraded; then the second goes back.
            for gateway_, environ in ((two, newer), (one, {}), (one, newer), (two, {})):
                await asyncio.sleep(0.5)
                assert await asyncio.to_thread(gateway_.stop) == 0
                for name in newer:
                    gateway_._environ.pop(name, None)
                gateway_._environ.update(environ)
                await asyncio.to_thread(gateway_.start)
                version = postgresql.execute("SELECT version_num FROM alembic_version")
                assert version == [{"version_num": NEXT}]
            await eventually(lambda: one.ready() and two.ready(), 20)
            await asyncio.sleep(0.5)
            stop.set()
            made = [text for texts in await asyncio.gather(*working) for text in texts]
        assert one.stop() == two.stop() == 0
        ran = [line["text"] for line in shop.executions()]
    print(f"\n{len(made)} calls over four restarts")
    assert len(made) > 20
    assert sorted(made) == sorted(ran), "each ran, and once"
    rows = postgresql.rows("events")
    for chain in ("one", "two"):
        places = [row["n"] for row in rows if row["chain"] == chain]
        assert places == [*range(1, len(places) + 1)]


async def work(client: Balanced, name: str, stop: asyncio.Event) -> list[str]:
    """Call until told to stop, each again under its key until it is answered; what was answered."""
    made: list[str] = []
    while not stop.is_set():
        text = f"{name}.{len(made)}"
        await eventually(lambda text=text: answered(client, text), 60)  # type: ignore[misc]
        made.append(text)
        await asyncio.sleep(0.02)
    return made


async def answered(client: Balanced, text: str) -> bool:
    try:
        return (await client.call("shop__note", {"text": text}, **{"toolgate/key": text})).ok
    except aiohttp.ClientError:  # that one is down now; the next turn is another's
        return False
