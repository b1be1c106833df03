"""A server that goes away is down at once, costs the others nothing, and is back soon after it is."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from upstream_depot import Depot
from upstream_hostile import Hostile, says
from upstream_parts import Spec, call, text, until

from gateway.call import Silent
from gateway.errors import Unreachable, UpstreamFailed

BACK_WITHIN = 2.5


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_watched_server_is_missed_at_once_and_back_soon(connect: Any, http: Any, era: Any) -> None:
    depot = Depot()
    served = await http(depot.app)
    upstream, seen = await connect(Spec(url=served.url, era=era))
    await until(lambda: upstream._link.watched)
    await served.stop()
    await until(lambda: not upstream.up, 1.0)
    assert seen.listings[-1][0] is False
    with pytest.raises(Unreachable):
        await upstream.request("tools/call", call("whoami"), peer=Silent())

    other = Depot()
    other.names = ["whoami"]
    served.app = other.app
    await served.start()
    since = time.monotonic()
    await until(lambda: upstream.up, BACK_WITHIN)
    assert upstream.restarts == 1 and seen.listings[-1] == (True, ["whoami"])
    assert text(await upstream.request("tools/call", call("whoami"), peer=Silent())) == "nobody"
    print(f"back after {time.monotonic() - since:.2f} s")


async def test_a_server_without_a_stream_is_missed_by_the_first_call(connect: Any) -> None:
    server = Hostile(says(200))
    upstream, _ = await connect(Spec(url=await server.start()))
    await server.stop()
    with pytest.raises(UpstreamFailed):
        await upstream.request("tools/call", call("well"), peer=Silent())
    await until(lambda: not upstream.up, 1.0)
    await server.start(server.port)
    await until(lambda: upstream.up, BACK_WITHIN)
    await server.stop()


async def test_a_server_that_comes_back_in_another_era_is_found_again(connect: Any, http: Any) -> None:
    from upstream_legacy import Legacy

    served = await http(Depot().app)
    upstream, _ = await connect(Spec(url=served.url))
    assert upstream.era == "modern"
    await served.stop()
    await until(lambda: not upstream.up, 1.0)
    legacy = Legacy()
    await legacy.start(served.port)
    await until(lambda: upstream.up, 5.0)
    assert upstream.era == "legacy"
    await legacy.stop()


async def test_calls_to_one_server_do_not_notice_that_another_comes_and_goes(connect: Any, http: Any) -> None:
    steady, _ = await connect(Spec(url=(await http(Depot().app)).url))
    flaky_served = await http(Depot().app)
    flaky, _ = await connect(Spec(url=flaky_served.url))

    async def disturb() -> None:
        for _ in range(3):
            await flaky_served.stop()
            await until(lambda: not flaky.up, 3)
            await flaky_served.start()
            await until(lambda: flaky.up, 3)

    disturbing = asyncio.create_task(disturb())
    calls = 0
    while not disturbing.done():
        assert text(await steady.request("tools/call", call("whoami"), peer=Silent())) == "nobody"
        calls += 1
    await disturbing
    assert calls > 50 and steady.restarts == 0 and flaky.restarts == 3


async def test_the_log_is_told_once_why_a_server_is_not_there(
    connect: Any, http: Any, caplog: pytest.LogCaptureFixture
) -> None:
    served = await http(Depot().app)
    upstream, _ = await connect(Spec(url=served.url))
    caplog.set_level(logging.WARNING, "toolgate.upstream")
    for times in (1, 2):
        await served.stop()
        await until(lambda: not upstream.up, 10.0)
        first = upstream.failure
        await until(lambda first=first: upstream.failure[0] > first[0] + 1.0, 10.0)
        told = [record.getMessage() for record in caplog.records if "ConnectionRefused" in record.getMessage()]
        assert len(told) == times, told
        await served.start()
        await until(lambda: upstream.up, 10.0)
