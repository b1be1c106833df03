from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_parts import Books


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A store whose writer runs, and the ledger in it."""
    books = Books(tmp_path)
    books.store.start()
    yield books
    books.store.stop()
