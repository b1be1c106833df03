from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import Place
from ledger_parts import Books


@pytest.fixture
def books(database: Place) -> Iterator[Books]:
    """A store whose writer runs, and the ledger in it."""
    books = Books(database)
    books.store.start()
    yield books
    books.store.stop()
