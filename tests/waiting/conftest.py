from __future__ import annotations

from collections.abc import Iterator

import pytest
from waiting_office import Office, office


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that holds calls for as long as a test may take."""
    with office(tmp_path_factory.mktemp("desk"), hold=20.0) as made:
        yield made


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that holds calls for a moment only."""
    with office(tmp_path_factory.mktemp("hasty"), hold=0.3) as made:
        yield made
