"""The process groups the gateway has started, and the watchman that ends them should the gateway be killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("toolgate.upstream")

_SCRIPT = Path(__file__).with_name("reaper.py")


class Groups:
    """Groups are added while they live. One reaper process watches them all, as long as anyone holds it."""

    def __init__(self) -> None:
        self._holders = 0
        self._groups: set[int] = set()
        self._reaper: subprocess.Popen[bytes] | None = None

    def hold(self) -> None:
        self._holders += 1

    def release(self) -> None:
        """Undo one `hold`; the last one ends the reaper."""
        self._holders -= 1
        if self._holders == 0:
            self._dismiss()

    def add(self, group: int) -> None:
        self._groups.add(group)
        if self._reaper is None:
            self._reaper = _start()
            self._tell("".join(f"+{member}\n" for member in self._groups))
        else:
            self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Kill what is left of a group whose leader has ended, and forget it."""
        if group in self._groups:
            self._groups.remove(group)
            kill(group, signal.SIGKILL)
            self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._reaper is None or self._reaper.stdin is None:
            return
        try:
            os.write(self._reaper.stdin.fileno(), line.encode())
        except BrokenPipeError:
            log.error("the reaper of stdio servers has ended; the next server to start brings a new one")
            self._dismiss()

    def _dismiss(self) -> None:
        reaper, self._reaper = self._reaper, None
        if reaper is not None:
            if reaper.stdin is not None:
                reaper.stdin.close()
            reaper.wait()


def kill(group: int, number: signal.Signals) -> None:
    """Signal a process group other than our own; one that is gone is no error."""
    if group > 1:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={},
        start_new_session=True,  # Ctrl-C in the gateway's terminal must not reach it
    )


GROUPS = Groups()
"""One for the process, for that is what a reaper outlives."""
