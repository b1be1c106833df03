"""A gateway in a process of its own, as an operator would start it."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from processes import free_port, start, stop

from gateway.config import load_without_servers
from gateway.identity import Tokens
from gateway.state import open_store

ROOT = Path(__file__).parent.parent
CLI = (sys.executable, "-m", "gateway.cli")


class GatewayProcess:
    """Writes `gateway.toml` and the policies into `folder`, then serves them on a free port.

    `servers` is the rest of `gateway.toml` in TOML, `settings` are further lines of its `[gateway]` table.
    `policies` are the files of the policy folder by name; `model.conf` is added. `environ` is added to the
    environment. Port, tokens and state outlive `stop` and `kill`, so `start` brings the same gateway back.
    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        policies: Mapping[str, str],
        *,
        settings: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.config = folder / "gateway.toml"
        self.log = folder / "gateway.log"
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(f'[gateway]\nhost = "127.0.0.1"\nport = {self.port}\n{settings}\n{servers}')
        (folder / "policies").mkdir()
        shutil.copy(ROOT / "policies/model.conf", folder / "policies")
        for name, text in policies.items():
            (folder / "policies" / name).parent.mkdir(exist_ok=True)
            (folder / "policies" / name).write_text(text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, path: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the gateway is not running: call start() first")
        return self._process

    @property
    def output(self) -> str:
        """All it has written to stdout and stderr, over restarts too."""
        return self.log.read_text(errors="replace")

    def start(self) -> None:
        """Serve, and return once /readyz says yes. Raises RuntimeError with the output when it never does."""
        command = (*CLI, "serve", "--config", str(self.config))
        self._process = start(command, self.ready, self.log, self._environ)

    def ready(self) -> bool:
        """What /readyz says now; False too when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> int:
        """End it in good order and return its exit code."""
        return stop(self.process)

    def kill(self) -> None:
        """End it without a chance to tidy up (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    @contextmanager
    def tokens(self) -> Iterator[Tokens]:
        """Its tokens, beside it: made and revoked here they are the running gateway's."""
        store = open_store(load_without_servers(self.config, self._environ))
        tokens = Tokens(store)
        try:
            yield tokens
        finally:
            tokens.close()
            store.stop()

    def token(self, agent: str, *, expires: timedelta | None = None) -> str:
        """A new bearer token for an agent of the policies."""
        with self.tokens() as tokens:
            return tokens.create(agent, expires=expires, now=time.time())[0]

    def headers(self, agent: str) -> dict[str, str]:
        """What a client of this agent sends: a new token as bearer."""
        return {"Authorization": f"Bearer {self.token(agent)}"}
