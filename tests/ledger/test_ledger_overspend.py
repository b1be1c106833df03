"""Five hundred spends race for a budget of a hundred units, and the gateway is killed in between: never overspent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from gateway_process import GatewayProcess
from ledger_parts import POLICIES, rows, servers, settle_all
from load_parts import spend, spent
from raw_client import Modern, eventually, pool
from recorder import Nursery, shops

SPENDS = 500
AT_ONCE = 10
KILLS = 3


async def test_racing_spends_never_overspend_and_accounts_tell_what_happened(nursery: Nursery, tmp_path: Path) -> None:
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        GatewayProcess(tmp_path, servers(shop), POLICIES) as gateway,
    ):
        amounts, ended = [random.randint(1, 3) for _ in range(SPENDS)], dict[int, str | None]()
        async with pool() as session:
            agent, numbers = Modern(session, gateway.url(), gateway.headers("spender")), iter(range(SPENDS))
            callers = [asyncio.create_task(spend(agent, numbers, amounts, ended)) for _ in range(AT_ONCE)]
            for kill in range(1, KILLS + 1):
                await eventually(lambda least=kill * 7: len(shop.executions()) >= least, 20)
                await asyncio.sleep(random.uniform(0, 0.02))
                gateway.kill()
                await asyncio.to_thread(gateway.start)
            await asyncio.gather(*callers)
        database = gateway.config.parent / "var" / "toolgate.db"
        executed = Counter(line["key"] for line in shop.executions())
        (account,) = rows(database, "accounts")
        print(f"\n{Counter(ended.values())}; spent {spent(shop)} of 100, accounted {account['total']}")
        assert set(executed.values()) == {1} and spent(shop) <= account["total"] <= 100
        assert {f"s-{number}" for number, reason in ended.items() if reason is None} <= executed.keys()
        unknown = settle_all(gateway.config, executed)
        (account,) = rows(database, "accounts")
        print(f"{unknown} settled; accounted {account['total']}")
        assert account["total"] == spent(shop) and rows(database, "reservations") == []
