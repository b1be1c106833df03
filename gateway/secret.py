"""The key that everything else is derived from: a file of 32 random bytes, in hexadecimal."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from gateway.keyfile import create, key_problem

_NAME = "secret.key"


def secret_key(folder: Path, named: Path | None = None) -> bytes:
    """The 32 bytes in `secret.key` of the state folder, both made on first use, for their owner only; or in the file
    `named`, which is not made.

    Raises ConfigError when the file holds something else, is not there, or others may use it. Only one that is named
    and belongs to another user, as a platform mounts it, may be read by others too, but not written.
    """
    path = named or folder / _NAME
    if named is None and not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        create(path, secrets.token_hex(32).encode() + b"\n")
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(128).strip()
    except OSError as error:
        if named is None:
            raise
        fix = f"put 64 hexadecimal digits there, such as openssl rand -hex 32 > {path}"
        raise key_problem(path, f"it cannot be read: {error.strerror}", fix) from None
    mode = stat.S_IMODE(found.st_mode)
    mounted = named is not None and found.st_uid != os.geteuid()
    if mode & ~(0o644 if mounted else 0o600):
        raise key_problem(path, f"its permissions are {mode:04o}: others may use it", f"chmod 600 {path}")
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise key_problem(path, "it is not 64 hexadecimal digits", "restore it from a backup")
    return key
