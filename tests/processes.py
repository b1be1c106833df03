"""Programs that tests start and stop."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

START_TIMEOUT = 60.0
"""Seconds a program may take until it is ready."""
STOP_TIMEOUT = 10.0
"""Seconds a program may take to end after it was asked to."""
POLL = 0.02
"""Seconds between two looks at whether a program is ready."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def start(
    command: Sequence[str], ready: Callable[[], bool], log: Path, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program and wait until it is ready; its output is appended to `log`.

    Raises RuntimeError, with the output, when it ends before or is not ready within START_TIMEOUT seconds.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ)
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if process.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL)
            continue
        stop(process)
        said = log.read_text(errors="replace")
        raise RuntimeError(f"{command[0]} did not get ready (exit code {process.returncode}):\n{said}")
    return process


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a program to end, make it end when it does not, and return its exit code."""
    process.terminate()
    try:
        return process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str], ready: Callable[[], bool], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ready inside the `with` block and gone after it."""
    process = start(command, ready, log, environ)
    try:
        yield process
    finally:
        stop(process)


def finish(
    command: Sequence[str], timeout: float, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, at most `timeout` seconds, and keep what it prints; any exit code will do."""
    return subprocess.run(
        list(command), stdin=subprocess.DEVNULL, env=environ, capture_output=True, text=True, timeout=timeout
    )
