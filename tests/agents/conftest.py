from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fake_gateway import FakeGateway, running

from agents.loop import Agent
from agents.model import open_scripted
from agents.run import Event, Limits
from agents.scripted import Script

MakeAgent = Callable[..., Awaitable[Agent]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGateway]:
    with running(FakeGateway()) as gateway:
        yield gateway


@pytest.fixture
def gateway(server: FakeGateway) -> FakeGateway:
    server.calls.clear()
    server.instead.clear()
    return server


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def make_agent(gateway: FakeGateway, events: list[Event]) -> AsyncIterator[MakeAgent]:
    """An agent whose model is the given script, served over HTTP."""
    async with AsyncExitStack() as stack:

        async def make(script: Script, *, name: str = "tester", limits: Limits | None = None, **more: Any) -> Agent:
            async def note(event: Event) -> None:
                events.append(event)

            model = more.pop("model", None) or await stack.enter_async_context(open_scripted("scripted:test", script))
            given = {"job": "Tests.", "system": f"You are {name}.", "token": f"tok-{name}", "gateway": gateway.url}
            return Agent(
                name=name, model=model, limits=limits or Limits(), on_event=note, **{**given, **more}
            )

        yield make
