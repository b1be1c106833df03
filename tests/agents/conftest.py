from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from anthropic import AsyncAnthropic
from fake_gateway import FakeGateway, running
from scripted_turns import MakeAgent

from agents.agent import Agent
from agents.journal import Journal
from agents.model import Model
from agents.run import Limits
from agents.runs import Event, Runs
from agents.scripted import Script
from agents.scripted.server import KEY, serve


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[FakeGateway]:
    with running(FakeGateway()) as gateway:
        yield gateway


@pytest.fixture
def gateway(server: FakeGateway) -> FakeGateway:
    server.calls.clear()
    server.own.clear()
    server.hidden.clear()
    server.instead.clear()
    server.breaks = ""
    return server


@pytest.fixture(scope="session")
def scripts() -> Iterator[tuple[str, dict[str, Script]]]:
    """A scripted model server, and the script that answers for each model name."""
    by_model: dict[str, Script] = {}
    with serve(lambda request: by_model[request["model"]](request)) as url:
        yield url, by_model


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def runs(events: list[Event]) -> AsyncIterator[Runs]:
    """Where all agents of a test keep their runs; what happens in them is among the events."""

    async def note(event: Event) -> None:
        if event.kind != "said":
            events.append(event)

    journal = Journal()
    yield Runs(journal, note)
    await journal.close()


@pytest.fixture
async def make_agent(
    gateway: FakeGateway, runs: Runs, scripts: tuple[str, dict[str, Script]]
) -> AsyncIterator[MakeAgent]:
    """An agent whose model is the given script, served over HTTP."""
    url, by_model = scripts

    async with AsyncAnthropic(api_key=KEY, base_url=url, http_client=httpx2.AsyncClient(trust_env=False)) as client:

        async def make(script: Script, *, name: str = "tester", limits: Limits | None = None, **more: Any) -> Agent:
            given = {"job": "Tests.", "system": f"You are {name}.", "token": f"tok-{name}", "gateway": gateway.url}
            model = Model(client, f"scripted:{name}")
            given |= {"model": model, "limits": limits or Limits(), "runs": runs, **more}
            by_model[given["model"].name] = script
            return Agent(name=name, **given)

        yield make


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of a new database. Skips, saying so, where no server is reachable; in CI that is a failure."""
    server = os.environ.get("TOOLGATE_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
    name = f"agents_{uuid.uuid4().hex[:12]}"
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL is reachable: {error}")
    with connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
