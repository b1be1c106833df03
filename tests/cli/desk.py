"""The command `toolgate` as an operator runs it: in a folder with files."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import main

HERE = Path(__file__).parent

CONFIG = """\
[servers.shop]
command = "${PYTHON}"
args = ["${SHOP}"]
env = { KEY = "${SHOP_KEY:-k}" }
timeout = 20.0
tools.check_fraud_score = { idempotent = true, timeout = 5.0 }
tools.charge_card.compensate = { tool = "refund_card", with = { charge_id = "$.result.charge_id" } }
"""
PAYMENT = """\
agent = "payment"
description = "Charges cards."

[[allow]]
tool = "shop/charge_card"
where = { amount = { maximum = 500 } }

[[allow]]
tool = "shop/check_*"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with `gateway.toml` and policies, and the command run in it."""

    folder: Path

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run the command in this process: what its entry point does, without the time imports take."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            patch.setattr(os, "environ", self._environ(environ))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = main(arguments)
                except SystemExit as left:
                    status = int(left.code or 0)
        return Ran(status, out.getvalue(), err.getvalue())

    def spawn(self, *arguments: str, **environ: str) -> Ran:
        """Run the command in a process of its own."""
        ran = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            cwd=self.folder,
            env=self._environ(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @staticmethod
    def _environ(environ: dict[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "TOOLGATE_CONFIG"}
        return {**inherited, "PYTHON": sys.executable, "SHOP": str(HERE / "shop.py"), **environ}
