from __future__ import annotations

from collections.abc import Iterator

import pytest
from recorder import Nursery


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What starts recorders quickly; it is there once somebody asks for it."""
    with Nursery() as nursery:
        yield nursery
