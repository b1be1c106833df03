"""`python -m agents` as processes that are forked from one that has imported it, which takes no seconds each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Agent:
    """One process; `out` is what it says, and beside it is its exit code once it has ended by itself."""

    pid: int
    out: Path

    @property
    def code(self) -> int | None:
        file = self.out.with_suffix(".code")
        return int(file.read_text()) if file.exists() and file.read_text() else None

    @property
    def is_running(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> tuple[int | None, str]:
        """Its exit code, None when it was killed, and what it said. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while self.is_running:
            if time.monotonic() > until:
                raise TimeoutError(f"still running after {seconds} seconds: {self.out.read_text()}")
            time.sleep(0.005)
        return self.code, self.out.read_text()

    def kill(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)
        self.wait(10)


class Nest:
    """Starts agents whose working folder is `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = 0

    def __enter__(self) -> Self:
        path = os.pathsep.join(sys.path)
        command, environ = [sys.executable, __file__], {**os.environ, "PYTHONPATH": path}
        self._nest = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=self.folder, env=environ
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._nest:
            self._nest.terminate()

    def start(self, arguments: Sequence[str]) -> Agent:
        assert self._nest.stdin and self._nest.stdout
        self.started += 1
        out = self.folder / f"agent-{self.started}.out"
        out.touch()
        self._nest.stdin.write(json.dumps([str(out), *arguments]) + "\n")
        return Agent(int(self._nest.stdout.readline()), out)


def _hatch(out: Path, arguments: list[str]) -> None:
    """Be `python -m agents`, in this process, until it ends."""
    from agents.__main__ import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    code = 70
    try:
        code = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        out.with_suffix(".code").write_text(str(code))
        os._exit(code)


if __name__ == "__main__":
    import agents.__main__  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        place, *given = json.loads(line)
        child = os.fork()
        if child == 0:
            _hatch(Path(place), given)
        print(child, flush=True)
