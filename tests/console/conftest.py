from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_browser import Browser, chromium
from console_parts import Office
from insight_parts import Happened, happen
from recorder import Nursery


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Office]:
    folder: Path = tmp_path_factory.mktemp("office")
    with Office(folder, nursery) as office:
        yield office


@pytest.fixture(scope="session")
def happened(office: Office) -> Happened:
    """The run of `insight_parts`, once."""
    return happen(office)


@pytest.fixture(scope="module")
def chrome(office: Office) -> Iterator[Browser]:
    """Of one module: while it runs, its thread has no room for another event loop."""
    with chromium(office) as browser:
        yield browser


@pytest.fixture
def browser(chrome: Browser) -> Iterator[Browser]:
    """Chromium that looks at the console; whatever goes wrong in a page fails the test."""
    yield chrome
    chrome.close_pages()
    assert chrome.wrong == []
