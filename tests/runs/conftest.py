from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deeds import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A tool server that all tests of the folder share: what they do there they tell apart by its name."""
    workshop = Workshop(Path(tmp_path_factory.mktemp("workshop")))
    workshop.start()
    yield workshop
    workshop.stop()
