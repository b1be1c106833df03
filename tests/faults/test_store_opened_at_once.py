"""Several processes open one new state folder at the same moment, as `token create` beside `serve` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import sys
from pathlib import Path
from gateway.store import Store
sys.stdin.readline()
Store(Path(sys.argv[1]) / "toolgate.db").stop()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_all_of_them_open_it(tmp_path: Path, attempt: int) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    children = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
    said = [child.communicate(timeout=30)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 6, said
