from __future__ import annotations

from collections.abc import Iterator

import pytest
from recorder import Nursery, Shop, shops


@pytest.fixture(scope="module")
def shop(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shops(nursery, tmp_path_factory.mktemp("shop"), "shop") as (made,):
        yield made
