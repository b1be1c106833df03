"""One gateway to a state folder: what a second one would take for left behind may be under way in the first."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigError, Problem

_NAME = "gateway.lock"


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it does. Raises ConfigError."""
    descriptor = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message, fix = "another gateway works with this folder", "stop it, or set another gateway.state"
            raise ConfigError([Problem(str(folder), "gateway.state", message, fix)]) from None
        yield
    finally:
        os.close(descriptor)
