"""The demonstration, played as a newcomer plays it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
MARK = "TOOLGATE_DEMO_TEST"
SCENES = [
    "1. An order runs through five agents",
    "Order ORD-7001 completed",
    "Order ORD-7002 failed in payment",
    "2 of 2 effects taken back",
    "payment__refund_card was refused (not_found)",
    '"maximum": 2000, "minimum": 1',
    "billing__process_refund was refused (denied)",
    "within the bound, 1500 cents: answered",
    'records__search_orders {"text": "12345; DROP TABLE orders;--"}: answered',
    'records__run_query {"sql": "12345; DROP TABLE orders;--"}: refused (unsafe_arguments)',
    'records__run_query {"sql": "SELECT count(*) FROM orders"}: answered',
    "refused (circuit_open)",
    "A probe got through and closed the breaker",
    "Intents without an outcome: 0.",
    "Nothing is left running.",
]


def marked(mark: str) -> list[psutil.Process]:
    """The processes that were started, directly or not, with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(180)
def test_two_copies_side_by_side_end_well_and_leave_nothing_running(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark}
    command = [sys.executable, "-m", "agents.demo"]
    outputs = [tmp_path / "first", tmp_path / "second"]
    copies = []
    for output in outputs:
        with output.open("wb") as out:
            copies.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out))
    assert [copy.wait(150) for copy in copies] == [0, 0], outputs[0].read_text() + outputs[1].read_text()
    for output in outputs:
        text = output.read_text()
        assert [scene for scene in SCENES if scene not in text] == []
    assert marked(mark) == []
