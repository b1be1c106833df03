"""A Compose file run without containers: the same commands, environment, files and health checks, as local processes.

Each service has a loopback address of its own, so ports stay as they are. Names of services become these addresses,
and paths in a container become folders of the test, in commands, environment and mounted files alike.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from deployed_postgresql import prepared
from processes import stop

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds that all services together may take to be healthy."""
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


def loaded(environ: Mapping[str, str]) -> dict[str, Any]:
    """`docker-compose.yml` with its variables replaced and merge keys resolved."""

    def value(found: re.Match[str]) -> str:
        return environ.get(found[1]) or found[2] or ""

    return dict(yaml.safe_load(_VARIABLE.sub(value, (ROOT / "docker-compose.yml").read_text())))


def image_environment() -> dict[str, str]:
    """What the Dockerfile sets for every container of its image."""
    text = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


@dataclass
class Composition:
    """`environ` is that of the shell in which `docker compose` would be called; `folder` holds everything."""

    folder: Path
    environ: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = loaded(self.environ)
        self.services: dict[str, dict[str, Any]] = self.file["services"]
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.addresses = {name: f"{net}.{at}" for at, name in enumerate(self.services, 1)}
        names = "|".join(sorted(self.services, key=len, reverse=True))
        self._host = re.compile(rf"(?<![\w.-])({names})(?=:\d)")
        self._app = self.folder / "app"
        self._app.mkdir()
        for name in ("servers", "agents"):
            (self._app / name).symlink_to(ROOT / name)

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Start all services of no profile, each after those it depends on, and wait until they are healthy."""
        waiting = [name for name, service in self.services.items() if "profiles" not in service]
        started: list[str] = []
        while waiting:
            ready = [name for name in waiting if not set(self._needs(name)) & set(waiting)]
            assert ready, f"these services wait for each other: {waiting}"
            for name in ready:
                for needed, condition in self._needs(name).items():
                    if condition == "service_healthy":
                        self.wait_healthy(needed)
                self.start(name)
            started += ready
            waiting = [name for name in waiting if name not in ready]
        for name in started:
            self.wait_healthy(name)

    def down(self) -> None:
        for name in reversed([*self.running]):
            self.stop(name)

    def start(self, name: str) -> None:
        """Start one service; it may not be healthy yet."""
        service = self.services[name]
        mounts = self._mounted(name)
        command = [self.here(name, word, mounts) for word in service.get("command", [])]
        user = None
        if name == "postgres":
            command, user = prepared(mounts["/var/lib/postgresql/data"], self._environment(name), self.addresses[name])
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [_program(command[0]), *command[1:]],
                env=self._environment(name),
                cwd=self._app,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
            )

    def stop(self, name: str) -> int:
        """As `docker compose stop` would; the exit status."""
        return stop(self.running.pop(name))

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait_healthy(self, name: str) -> None:
        """Return once the health check of a service passes. Raises RuntimeError with what it wrote."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        until = time.monotonic() + PATIENCE
        while self.exec(name, *test[1:]).returncode != 0:
            if self.running[name].poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{name} is not healthy:\n{self.log(name).read_text(errors='replace')[-4000:]}")
            time.sleep(0.5)

    def exec(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec -T NAME COMMAND...`: run to its end."""
        mounts = self._mounted(name)
        words = [self.here(name, word, mounts) for word in command]
        return subprocess.run(
            [_program(words[0]), *words[1:]],
            env=self._environment(name),
            cwd=self._app,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @contextlib.contextmanager
    def run(self, name: str, *arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """`docker compose run --rm NAME ARGUMENTS...`; its output goes to `log`. Killed when the block ends."""
        words = [self.here(name, word, {}) for word in [*self.services[name]["entrypoint"], *arguments]]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [_program(words[0]), *words[1:]], env=self._environment(name), cwd=self._app, stdout=out, stderr=out
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def here(self, name: str, text: str, mounts: Mapping[str, Path]) -> str:
        """A text of the container of this service, as it reads outside of it."""
        text = self._host.sub(lambda found: self.addresses[found[1]], text)
        text = text.replace("0.0.0.0", self.addresses[name]).replace("127.0.0.1", self.addresses[name])
        targets = "|".join(re.escape(target) for target in sorted(mounts, key=len, reverse=True))
        return (
            re.sub(rf"(?<![\w/])({targets})(?![\w.-])", lambda found: str(mounts[found[1]]), text) if mounts else text
        )

    def _needs(self, name: str) -> dict[str, str]:
        needs = self.services[name].get("depends_on", {})
        if isinstance(needs, list):
            return dict.fromkeys(needs, "service_started")
        return {needed: facts["condition"] for needed, facts in needs.items()}

    def _environment(self, name: str) -> dict[str, str]:
        """Nothing of ours but where programs are; then the image's, then the service's own."""
        service = self.services[name]
        mounts = self._mounted(name)
        image = image_environment() if "build" in service else {}
        given = {
            key: self.environ.get(key) if value is None else value
            for key, value in {**image, **service.get("environment", {})}.items()
        }
        known = {key: self.here(name, value, mounts) for key, value in given.items() if value is not None}
        return {**known, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _mounted(self, name: str) -> dict[str, Path]:
        """Where the files and folders of this container are, by their path in it; made when first asked for."""
        folder, service = self.folder / name, self.services[name]
        mounts = {"/run/secrets": folder / "secrets"}
        files = {}
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            mounts[target] = folder / target.strip("/")
            if source.startswith("."):
                files[target] = ROOT / source
        if folder.exists():
            return mounts
        for place in mounts.values():
            place.parent.mkdir(parents=True, exist_ok=True)
        for target, place in mounts.items():
            if target not in files:
                place.mkdir(mode=0o700)
            elif files[target].is_dir():
                shutil.copytree(files[target], place)
            else:
                place.write_text(self.here(name, files[target].read_text(), mounts))
        for secret in service.get("secrets", []):
            place = mounts["/run/secrets"] / secret
            # Here, who reads it owns it.
            place.touch(mode=0o600)
            place.write_bytes((ROOT / self.file["secrets"][secret]["file"]).read_bytes())
        return mounts


def _program(name: str) -> str:
    """A program of the image, here: Python and what is beside it are those of the tests."""
    return sys.executable if name == "python" else name
