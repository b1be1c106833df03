"""`gateway.toml` as one frozen model, checked whole: every problem is found and told at once.

The models here, in `gateway.settings` and, for single tools, in `gateway.facts` say what shape a value has;
`gateway.config_checks` says how values must agree with each other.
No value of the file appears in a problem: it may have come from a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError

from gateway.call import OWN, Facts
from gateway.config_checks import check_relations, nearest, translate
from gateway.errors import ConfigError, Problem
from gateway.facts import Argument, Number, Section, ToolFacts
from gateway.interpolate import Interpolation, dotted
from gateway.settings import (
    ApprovalSettings,
    AuditSettings,
    BreakerSettings,
    Count,
    GatewaySection,
    RetrySettings,
    RunSettings,
    Throttle,
    TraceSettings,
)


class Server(Section):
    """One upstream: `url` and `headers`, or `command`, `args`, `env` and `cwd`.

    `credentials`, when not None, names the only agents that may call it, each with its own headers or
    environment. Its `repr` shows no value but the name, for any other may be a secret.
    """

    name: str
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: Path | None = None
    era: Literal["auto", "legacy", "modern"] = "auto"
    timeout: Number = 30.0
    max_concurrent: Count = 64
    credentials: dict[str, dict[str, SecretStr]] | None = None
    tools: dict[str, ToolFacts] = Field(default_factory=dict)

    def facts(self, tool: str) -> Facts:
        """What is declared about `tool`; one that is not mentioned is not idempotent and has no secrets."""
        declared = self.tools.get(tool)
        return Facts() if declared is None else declared.facts()

    def arguments(self, tool: str) -> dict[str, Argument]:
        """What is declared about the arguments of `tool`; those that are not mentioned are text."""
        declared = self.tools.get(tool)
        return {} if declared is None else declared.arguments

    def __repr__(self) -> str:
        return f"Server({self.name!r})"

    __str__ = __repr__


_OWN_SERVER = Server(name=OWN, max_concurrent=10_000)
"""Settings of the gateway's own tools: they are quick, and nothing is behind them that could be overrun."""


class Config(Section):
    """The whole file. `path` is its own absolute path."""

    path: Path
    gateway: GatewaySection = GatewaySection()
    throttle: Throttle = Throttle()
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    approvals: ApprovalSettings = ApprovalSettings()
    runs: RunSettings = RunSettings()
    audit: AuditSettings = AuditSettings()
    traces: TraceSettings = TraceSettings()
    servers: dict[str, Server] = Field(default_factory=dict)

    def server(self, name: str) -> Server:
        """The settings of a server; the gateway's own tools are one too, that no file speaks of."""
        return _OWN_SERVER if name == OWN else self.servers[name]

    @property
    def policies_dir(self) -> Path:
        return self.path.parent / self.gateway.policies

    @property
    def state_dir(self) -> Path:
        return self.path.parent / self.gateway.state

    @property
    def database(self) -> Path:
        """The SQLite file, where no other database is configured."""
        return self.state_dir / "toolgate.db"

    @property
    def secret_file(self) -> Path | None:
        """The file of the gateway's key, None where it is in the state folder."""
        return None if self.gateway.secret is None else self.path.parent / self.gateway.secret

    @property
    def shared(self) -> str | None:
        """The URL of the database that replicas share, None on SQLite. It may have a password in it."""
        return None if self.gateway.database is None else self.gateway.database.get_secret_value()


def load(path: Path, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check the file at `path`; `overrides` replaces keys of its `gateway` table.

    Raises ConfigError with every problem found.
    """
    data = _parse(path)
    if overrides and isinstance(data.setdefault("gateway", {}), dict):
        data["gateway"].update(overrides)
    return _checked(path.absolute(), data, environ)


def load_without_servers(path: Path, environ: Mapping[str, str]) -> Config:
    """The same with no server in it: for work that needs none, where the servers' secrets may be absent."""
    data = {name: value for name, value in _parse(path).items() if name != "servers"}
    return _checked(path.absolute(), data, environ)


def outline(path: Path, environ: Mapping[str, str]) -> tuple[Path | None, list[str]]:
    """The policies folder and server names of a file that may have problems: enough to check its policies.

    The folder is None when the file does not tell it properly. Raises ConfigError when it is not even TOML.
    """
    path = path.absolute()
    interpolation = Interpolation(path, environ)
    data = interpolation.apply(_parse(path))
    gateway, servers = data.get("gateway", {}), data.get("servers")
    folder = gateway.get("policies", GatewaySection().policies) if isinstance(gateway, dict) else None
    told = isinstance(folder, str) and ("gateway", "policies") not in interpolation.problems
    return path.parent / str(folder) if told else None, [*servers] if isinstance(servers, dict) else []


def _checked(path: Path, raw: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    interpolation = Interpolation(path, environ)
    data = interpolation.apply(raw)
    problems = [*check_relations(path.name, data)]
    try:
        config = Config.model_validate(_placed(data, path))
    except ValidationError as error:
        problems += translate(path.name, Config, error)
    # A value that could not be interpolated would only be complained about twice.
    unresolved = interpolation.problems
    found = [problem for key, problem in problems if key not in unresolved] + [*unresolved.values()]
    if found:
        raise ConfigError(sorted(found))
    return config


def check_agents(config: Config, agents: Collection[str]) -> list[Problem]:
    """A problem for each agent that is given credentials but has no policy."""
    return [
        Problem(
            config.path.name,
            dotted(("servers", server.name, "credentials", agent)),
            f"no agent of this name has a policy file{nearest(agent, agents)}",
            f"write {config.gateway.policies}/{agent}.toml, or correct the name",
        )
        for server in config.servers.values()
        for agent in server.credentials or {}
        if agent not in agents
    ]


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message, fix = f"cannot be read: {error.strerror}", "create it, or name another file with --config"
    except tomllib.TOMLDecodeError as error:
        message, fix = f"is not TOML: {error}", "correct the syntax there"
    except UnicodeDecodeError:
        message, fix = "is not UTF-8 text", "save the file as UTF-8"
    except (ValueError, RecursionError):
        message, fix = "is not TOML that can be read", "shorten its numbers and nesting"
    raise ConfigError([Problem(str(path), "file", message, fix)])


def _placed(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`data` with what the models hold beyond the file: its path, server names, absolute working folders."""
    placed = {**data, "path": path}
    if isinstance(servers := data.get("servers"), dict):
        placed["servers"] = {name: _placed_server(name, server, path.parent) for name, server in servers.items()}
    return placed


def _placed_server(name: str, server: Any, folder: Path) -> Any:
    if not isinstance(server, dict):
        return server
    cwd = server.get("cwd")
    return {**server, "name": name} | ({"cwd": folder / cwd} if isinstance(cwd, str) else {})
