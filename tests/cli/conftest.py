from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from desk import CONFIG, PAYMENT, Desk

MODEL = Path(__file__).parents[2] / "policies" / "model.conf"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write("gateway.toml", CONFIG)
    desk.write("policies/payment.toml", PAYMENT)
    shutil.copy(MODEL, tmp_path / "policies" / "model.conf")
    return desk
