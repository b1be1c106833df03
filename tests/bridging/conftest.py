from __future__ import annotations

from collections.abc import Iterator

import pytest
from workbench import Bench, open_bench


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("bench")) as opened:
        yield opened


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    """Marks the calls of one test in the records of the workshops."""
    name: str = request.node.name
    return name
