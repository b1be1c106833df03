from __future__ import annotations

from collections.abc import Iterator

import pytest
from workbench import Bench, open_bench
from workshop_tools import CANARY


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("bench")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_leaks_into_the_log(bench: Bench) -> Iterator[None]:
    """Whatever a test does, the gateway logs no stack and nothing that an upstream said in an error."""
    before = len(bench.gateway.output)
    yield
    added = bench.gateway.output[before:]
    assert "Traceback" not in added and CANARY not in added, added


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    """Marks the calls of one test in the records of the workshops."""
    name: str = request.node.name
    return name
