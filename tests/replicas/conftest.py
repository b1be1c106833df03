from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deeds import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """The deeds, running."""
    made = Workshop(tmp_path)
    made.start()
    yield made
    made.stop()
