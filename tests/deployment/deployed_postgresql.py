"""What the image of PostgreSQL does before it serves, with the programs that are installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from databases import _programs as programs


def prepared(folder: Path, environment: Mapping[str, str], address: str) -> tuple[list[str], str | None]:
    """Make the cluster in `folder` when it is empty. Returns the command that serves it, and the user to do so."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    binaries = programs()
    serve = [str(binaries / "postgres"), "-D", str(folder)]
    if any(folder.iterdir()):
        return serve, user
    if user is not None:
        shutil.chown(folder, user)
    name, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    password = Path(environment["POSTGRES_PASSWORD_FILE"]).read_bytes()
    given = folder.with_name("password")
    given.touch(mode=0o600)
    given.write_bytes(password)
    if user is not None:
        shutil.chown(given, user)
    made = ["-U", name, "--auth=scram-sha-256", f"--pwfile={given}", "-E", "UTF8", "--no-sync"]
    _run([str(binaries / "initdb"), "-D", str(folder), *made], None, user)
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write(f"listen_addresses = '{address}'\nunix_socket_directories = ''\n")
    create = f"CREATE DATABASE {database};\n"
    _run([str(binaries / "postgres"), "--single", "-D", str(folder), "postgres"], create, user)
    return serve, user


def _run(command: list[str], told: str | None, user: str | None) -> None:
    ran = subprocess.run(command, input=told, user=user, cwd="/", capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
