from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from approvals_parts import Clock, Desk


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    with Desk(tmp_path, clock) as desk:
        yield desk
