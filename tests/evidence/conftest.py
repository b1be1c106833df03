from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Place
from evidence_parts import Log


@pytest.fixture
def log(database: Place, tmp_path: Path) -> Iterator[Log]:
    """An empty log, on one kind of database after the other."""
    log = Log(database, tmp_path / "state")
    yield log
    log.close()
