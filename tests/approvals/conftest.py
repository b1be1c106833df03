from __future__ import annotations

from collections.abc import Iterator

import pytest
from approvals_parts import Clock, Desk
from databases import Place


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(database: Place, clock: Clock) -> Iterator[Desk]:
    with Desk(database, clock) as desk:
        yield desk
