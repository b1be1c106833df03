"""The shop as processes: eight tool servers and the gateway, started and stopped together."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
SERVERS = ("catalog", "inventory", "pricing", "payment", "fulfillment", "customers", "billing", "records")
AGENTS = (
    "validation",
    "inventory",
    "pricing",
    "payment",
    "fulfillment",
    "support",
    "analyst",
    "address",
    "discount",
    "parcel",
)
REVIEWER = "kim"
PATIENCE = 30.0
"""Seconds that anything may take to start."""

_SERVER_READY = re.compile(r"^(\w+) ready on http://[^:]+:(\d+)/mcp", re.MULTILINE)
_GATEWAY_READY = re.compile(r"^toolgate serves (http://\S+)/mcp", re.MULTILINE)


class NotStarted(Exception):
    """A process of the shop did not come up; the text says which, and what it wrote last."""


@dataclass(slots=True)
class Process:
    """One child with its standard error in a file; it ends with the block it was started in."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: re.Pattern[str], count: int = 1) -> list[tuple[str, ...]]:
        """The first `count` matches of `pattern` in what the process writes. Raises NotStarted."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = [match.groups() for match in pattern.finditer(self.output())]
            if len(found) >= count:
                return found
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        raise NotStarted(f"{self.name} did not start. It wrote:\n{self.output()[-2000:]}")

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.child.kill()
        self.child.wait()


class Shop:
    """Starts everything in a folder. `ports` fixes the servers' ports; the others are free ones."""

    def __init__(self, folder: Path, *, gateway_port: int = 0, base_port: int = 0) -> None:
        self.folder = folder
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.reviewers: dict[str, str] = {}
        self._gateway_port = gateway_port
        self._base_port = base_port
        self._ports: dict[str, int] = {}
        self._keys: dict[str, str] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Shop:
        with contextlib.ExitStack() as guard:
            guard.push(self._stack)
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keys = _kept(self.folder / "keys.json", lambda: {name: secrets.token_urlsafe(32) for name in SERVERS})
            self._start_servers()
            self._start_gateway()
            self.tokens = _kept(self.folder / "tokens.json", lambda: self._created("token", AGENTS))
            self.reviewers = _kept(self.folder / "reviewers.json", lambda: self._created("reviewer", [REVIEWER]))
            guard.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What `gateway.toml`, the servers and agents take from the environment."""
        keys = {f"{name.upper()}_KEY": key for name, key in self._keys.items()}
        ports = {f"{name.upper()}_PORT": str(port) for name, port in self._ports.items()}
        places = {"TOOLGATE_STATE": str(self.folder), "TOOLGATE_JOURNAL": str(self.folder / "agents.db")}
        return {**keys, **ports, **places, "TOOLGATE_PORT": str(self._gateway_port)}

    def _start_servers(self) -> None:
        # Pricing stands alone: a scene kills it and starts it again.
        rest = [name for name in SERVERS if name != "pricing"]
        self.pricing = self._start_pricing(self._base_port and self._base_port + SERVERS.index("pricing"))
        data = ["--base-port", str(self._base_port), "--data", str(self.folder / "servers")]
        others = self._start("servers", ["servers", *rest, *data])
        self._ports.update((name, int(port)) for name, port in others.wait_for(_SERVER_READY, len(rest)))
        self._ports.update((name, int(port)) for name, port in self.pricing.wait_for(_SERVER_READY))

    def _start_pricing(self, port: int) -> Process:
        database = self.folder / "servers" / "pricing.db"
        return self._start("pricing", ["servers.pricing", "--port", str(port), "--db", str(database)])

    def _start(self, name: str, module: Sequence[str]) -> Process:
        command = [sys.executable, "-m", *module]
        return self._stack.enter_context(started(name, command, self.environment, self.folder))

    def restart_pricing(self) -> None:
        """Start the pricing server again where it was."""
        self.pricing = self._start_pricing(self._ports["pricing"])
        self.pricing.wait_for(_SERVER_READY)

    def _start_gateway(self) -> None:
        serve = [toolgate(), "serve", "--config", str(ROOT / "gateway.toml")]
        gateway = self._stack.enter_context(started("gateway", serve, self.environment, self.folder))
        self.url = gateway.wait_for(_GATEWAY_READY)[0][0]
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz"):
                return
            time.sleep(0.05)
        raise NotStarted(f"The gateway did not become ready. It wrote:\n{gateway.output()[-2000:]}")

    def _created(self, verb: str, names: Sequence[str]) -> dict[str, str]:
        """Tokens that `toolgate token create` or `toolgate reviewer create` makes for these names."""
        command = [toolgate(), verb, "create", "--json", "--config", str(ROOT / "gateway.toml")]
        made = {}
        for name in names:
            answer = subprocess.run([*command, name], env=inherited(self.environment), check=True, capture_output=True)
            made[name] = str(json.loads(answer.stdout)["token"])
        return made

    def exports(self) -> str:
        """The environment as shell lines, for commands typed beside the shop."""
        reviewer = self.reviewers[REVIEWER]
        here = {**self.environment, "TOOLGATE_URL": f"{self.url}/mcp", "TOOLGATE_REVIEWER_TOKEN": reviewer}
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(here.items()))


@contextlib.contextmanager
def started(name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Process]:
    """Run a command until the block ends: asked to stop, and killed if it does not."""
    log = folder / f"{name}.log"
    # A group of its own: Ctrl-C is for us, who then stop everything in order.
    with log.open("wb") as errors:
        child = subprocess.Popen(
            command, env=inherited(environment), stdout=errors, stderr=errors, cwd=ROOT, start_new_session=True
        )
    try:
        yield Process(name, child, log)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def toolgate() -> str:
    """The command `toolgate` of this environment."""
    return str(Path(sys.executable).with_name("toolgate"))


def inherited(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with more in it, for a child whose lines are read as they come."""
    return {**os.environ, **more, "PYTHONUNBUFFERED": "1"}


def _kept(file: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The JSON object in `file`, made and written (readable by its owner only) when it is not there yet."""
    if file.exists():
        return dict(json.loads(file.read_text()))
    made = make()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(made, out, indent=2)
    return made
