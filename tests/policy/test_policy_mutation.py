"""The tests of the policy package notice when something in it is flipped: a few mutants, drawn at random."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "mutation.py"
SAMPLE, LEAST = 10, 9


@pytest.mark.timeout(300)
def test_of_a_few_mutants_of_the_policy_package_hardly_one_survives() -> None:
    command = [sys.executable, str(SCRIPT), "--sample", str(SAMPLE), "--seed", "7"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280)
    told = re.search(r"(\d+) of (\d+) mutants killed", ran.stdout)
    assert told is not None, ran.stdout + ran.stderr
    assert int(told[2]) == SAMPLE
    assert int(told[1]) >= LEAST, ran.stdout
