from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of corpora, which are no part of this repository."""
    named = os.environ.get("TOOLGATE_CORPORA", "")
    if not named or not Path(named).is_dir():
        pytest.skip("needs the corpora: set TOOLGATE_CORPORA to their folder")
    return Path(named)
