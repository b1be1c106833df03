"""Files that hold a key: made on first use, for their owner only, and refused when others may read them."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from gateway.errors import ConfigError, Problem

log = logging.getLogger("toolgate.identity")

_MOST = 4096


def key_in(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is in the file, at most 4096 bytes; made first, of what `make` returns, where there is none.

    Raises ConfigError when others may use the file, and OSError.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create(path, make())
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(_MOST)
    if mode & ~0o600:
        raise key_problem(path, f"its permissions are {mode:04o}: others may use it", f"chmod 600 {path}")
    return content


def create(path: Path, content: bytes) -> None:
    """Write it aside and link it into place: nobody sees half a file, and of two writers the first wins."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(aside)
    except FileExistsError:
        log.debug("another process made %s first", path)
    finally:
        aside.unlink()


def key_problem(path: Path, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem(str(path), "file", message, fix)])
