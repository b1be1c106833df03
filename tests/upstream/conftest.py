from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import psutil
import pytest
from upstream_parts import Http, Seen, Spec, until
from upstream_raw import Behave, Raw

from gateway.upstream import Upstream
from gateway.upstream.pool import Pool


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


Connect = Callable[[Spec], Awaitable[tuple[Upstream, Seen]]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Start an upstream and wait for its first attempt; afterwards nothing of it may be left running."""
    running: list[asyncio.Task[None]] = []
    before = asyncio.all_tasks()

    async def start(spec: Spec) -> tuple[Upstream, Seen]:
        seen = Seen()
        upstream = Upstream(spec, on_listing=seen.on_listing, on_notice=seen.on_notice)
        running.append(asyncio.create_task(upstream.run()))
        await asyncio.wait_for(upstream.ready.wait(), 15)
        return upstream, seen

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    ours = [task for task in asyncio.all_tasks() - before if "gateway" in str(task.get_coro())]
    await until(lambda: all(task.done() for task in ours))


@pytest.fixture
async def http() -> AsyncIterator[Callable[[Any], Awaitable[Http]]]:
    """Serve an ASGI app in this loop."""
    async with AsyncExitStack() as stack:

        async def serve(app: Any) -> Http:
            server = Http(app)
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield serve


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[tuple[Raw, Pool]]]]:
    """Start a server that speaks bytes, and a pool for it; afterwards nothing of either may be left open."""
    before = len(psutil.Process().net_connections("tcp"))
    async with AsyncExitStack() as stack:

        async def start(behave: Behave, **options: Any) -> tuple[Raw, Pool]:
            server = Raw(behave)
            await server.start()
            stack.push_async_callback(server.stop)
            pool = Pool(server.url, **options)
            stack.push_async_callback(pool.close)
            return server, pool

        yield start
    await until(lambda: len(psutil.Process().net_connections("tcp")) <= before)


@pytest.fixture(autouse=True)
def no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    yield
