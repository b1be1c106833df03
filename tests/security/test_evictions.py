"""A token that is not good any more ends what is under way with it: open streams, and calls that still run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import pytest
from gateway_process import GatewayProcess
from raw_client import Legacy, Modern, Reply, eventually, pool
from recorder import Nursery, Shop, shops

pytestmark = pytest.mark.xdist_group("evictions")  # one gateway for all of them

POLICIES = {"clerk.toml": 'agent = "clerk"\ndescription = "Shops."\n[[allow]]\ntool = "shop/note"\n'}
ENDED_WITHIN = 2.0
"""Seconds after which nothing goes on that a token that is void or over has begun."""
LIFE = 2.0
"""Seconds that a token of short life is good for: long enough to open everything with it."""


@dataclass
class Place:
    """A gateway, the tool server behind it, and what was opened at the gateway."""

    gateway: GatewayProcess
    shop: Shop

    def token(self, life: float | None) -> tuple[str, str]:
        """A new token and its id."""
        expires = None if life is None else timedelta(seconds=life)
        with self.gateway.tokens() as tokens:
            token, row = tokens.create("clerk", expires=expires, now=time.time())
        return token, row.id

    def revoke(self, identity: str) -> None:
        with self.gateway.tokens() as tokens:
            assert tokens.revoke(identity)


@pytest.fixture(scope="module")
def place(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("evictions")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n'
        with GatewayProcess(folder, servers, POLICIES) as gateway:
            yield Place(gateway, shop)


@dataclass
class UnderWay:
    """Everything a client of one token can have open: a stream and a call of each era."""

    streams: list[asyncio.Task[None]]
    calls: list[asyncio.Task[Reply]]


@asynccontextmanager
async def everything(place: Place, token: str, tag: str) -> AsyncIterator[UnderWay]:
    headers = {"Authorization": f"Bearer {token}"}
    async with pool() as session:
        modern = Modern(session, place.gateway.url(), headers)
        legacy = Legacy(session, place.gateway.url(), headers)
        await legacy.open()
        heard: list[str] = []
        ready, opened = asyncio.Event(), asyncio.Event()
        streams = [asyncio.create_task(ended(modern.listen(heard, ready))), asyncio.create_task(hear(legacy, opened))]
        slow = {"text": tag, "delay": 20}
        calls = [asyncio.create_task(client.call("shop__note", slow)) for client in (modern, legacy)]
        await asyncio.wait_for(asyncio.gather(ready.wait(), opened.wait()), 5)
        await eventually(lambda: [line["text"] for line in place.shop.executions()].count(tag) == 2, 5)
        try:
            yield UnderWay(streams, calls)
        finally:
            for task in (*streams, *calls):
                task.cancel()
            await asyncio.gather(*streams, *calls, return_exceptions=True)


async def ended(stream: Awaitable[None]) -> None:
    """Follow a stream to its end; one that is cut off has ended too."""
    with contextlib.suppress(aiohttp.ClientPayloadError):
        await stream


async def hear(client: Legacy, opened: asyncio.Event) -> None:
    """Hold the standing stream of a legacy session, until it ends."""
    headers = {"Accept": "text/event-stream", **client.headers, **client.extra}
    async with client.session.get(client.url, headers=headers) as response:
        assert response.status == 200
        opened.set()
        with contextlib.suppress(aiohttp.ClientPayloadError):
            await response.read()


async def check_all_ends(under_way: UnderWay, since: Callable[[], float]) -> None:
    """Everything ends in time; a call ends by 401, or with its stream where its answer had begun."""
    tasks = [*under_way.streams, *under_way.calls]
    _, pending = await asyncio.wait(tasks, timeout=10)
    assert not pending
    assert since() < ENDED_WITHIN
    print(f"\nended within {since():.2f} s")
    for stream in under_way.streams:
        assert stream.exception() is None
    modern, legacy = under_way.calls
    assert modern.result().status == 401
    failure = legacy.exception()
    assert isinstance(failure, aiohttp.ClientPayloadError) or legacy.result().message == {}


async def test_a_token_that_expires_ends_what_it_opened(place: Place) -> None:
    due = time.monotonic() + LIFE
    token, _ = place.token(LIFE)
    async with everything(place, token, "expires") as under_way:
        assert time.monotonic() < due, "too slow to open everything in time"
        assert not [task for task in (*under_way.streams, *under_way.calls) if task.done()]
        await check_all_ends(under_way, lambda: time.monotonic() - due)
        assert time.monotonic() >= due


async def test_a_token_that_is_revoked_ends_what_it_opened_and_nothing_of_another(place: Place) -> None:
    (token, identity), (other, _) = place.token(None), place.token(None)
    async with everything(place, other, "stays") as kept, everything(place, token, "goes") as under_way:
        begun = time.monotonic()
        place.revoke(identity)
        await check_all_ends(under_way, lambda: time.monotonic() - begun)
        assert not [task for task in (*kept.streams, *kept.calls) if task.done()]
