"""Five hundred spends race through replicas, which are killed, for a budget of a hundred units: never overspent."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from databases import Place
from fleet import Fleet
from ledger_parts import POLICIES, servers, settle_all
from load_parts import spend, spent
from raw_client import eventually, pool
from recorder import Nursery, shops

SPENDS = 500
AT_ONCE = 12
KILLS = 3


def account(place: Place) -> dict[str, Any]:
    (row,) = place.rows("accounts")
    return row


@pytest.mark.timeout(240)
async def test_spends_that_race_through_replicas_never_overspend(
    nursery: Nursery, tmp_path: Path, postgresql: Place
) -> None:
    assert postgresql.url is not None
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        Fleet(tmp_path, postgresql.url, servers(shop), POLICIES) as fleet,
    ):
        amounts, ended = [random.randint(1, 3) for _ in range(SPENDS)], dict[int, str | None]()
        async with pool() as session:
            agent, numbers = fleet.client(session, "spender"), iter(range(SPENDS))
            callers = [asyncio.create_task(spend(agent, numbers, amounts, ended)) for _ in range(AT_ONCE)]
            for kill, place in zip(range(1, KILLS + 1), itertools.cycle(range(3)), strict=False):
                await eventually(lambda least=kill * 7: len(shop.executions()) >= least, 30)
                await asyncio.sleep(random.uniform(0, 0.02))
                fleet[place].kill()
                await asyncio.to_thread(fleet[place].start)
            await asyncio.gather(*callers)
        await eventually(lambda: not postgresql.execute("SELECT 1 FROM calls WHERE state = 'open'"), 30)
        executed = Counter(line["key"] for line in shop.executions())
        total = account(postgresql)["total"]
        print(f"\n{Counter(ended.values())}; spent {spent(shop)} of 100, accounted {total}")
        assert set(executed.values()) == {1} and spent(shop) <= total <= 100
        assert {f"s-{number}" for number, reason in ended.items() if reason is None} <= executed.keys()
        unknown = settle_all(fleet[0].config, executed)
        print(f"{unknown} settled; accounted {account(postgresql)['total']}")
        assert account(postgresql)["total"] == spent(shop) and postgresql.rows("reservations") == []
