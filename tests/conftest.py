from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Place, Server, new_database
from recorder import Nursery


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What starts recorders quickly; it is there once somebody asks for it."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a new store is, on one kind of database after the other."""
    if request.param == "sqlite":
        yield Place(tmp_path / "toolgate.db")
    else:
        with new_database() as url:
            yield Place(tmp_path / "toolgate.db", url)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[Place]:
    """A new database on PostgreSQL."""
    with new_database() as url:
        yield Place(tmp_path / "toolgate.db", url)


@pytest.fixture
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL server that the test may stop and start; it runs."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()
