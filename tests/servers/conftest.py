from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client
from shop import Call, Running, running, tell

from servers import app
from servers.app import Server
from servers.database import Database

Connect = Callable[[Server], AbstractAsyncContextManager[Call]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Callable[[Server], Database]]:
    opened: dict[str, Database] = {}

    def get(server: Server) -> Database:
        if server.name not in opened:
            opened[server.name] = Database(tmp_path / f"{server.name}.db", server.schema)
        return opened[server.name]

    yield get
    for database in opened.values():
        database.close()


@pytest.fixture
def connect(databases: Callable[[Server], Database]) -> Connect:
    """A client of one server, in memory, on a fresh file."""

    @asynccontextmanager
    async def connecting(server: Server) -> AsyncIterator[Call]:
        async with Client(app.build(server, databases(server))) as client:
            yield tell(client)

    return connecting


@pytest.fixture(scope="module")
def payment_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("payment") / "payment.db"


@pytest.fixture(scope="module")
def payment(payment_file: Path) -> Iterator[Running]:
    with running("servers.payment", "--port", "0", "--db", str(payment_file)) as process:
        yield process
