"""`gateway.toml` as one frozen model, checked whole: every problem is found and told at once.

The models (those of single tools in `gateway.facts`) say what shape a value has; `gateway.config_checks` says
how values must agree with each other.
No value of the file appears in a problem: it may have come from a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, ValidationError, model_validator

from gateway.call import OWN, Facts
from gateway.config_checks import check_relations, nearest, translate
from gateway.errors import ConfigError, Problem
from gateway.facts import Argument, Number, Section, ToolFacts, no_bool, wrong
from gateway.interpolate import Interpolation, dotted

Count = Annotated[PositiveInt, BeforeValidator(no_bool)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(no_bool)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(no_bool)]


class GatewaySection(Section):
    """Where the gateway listens and where its files are. Port 0 takes a free one; sizes are in bytes."""

    host: str = "127.0.0.1"
    port: Port = 8080
    policies: str = "policies"
    state: str = "var"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body: Count = 1_048_576
    max_result: Count = 1_048_576
    page_size: Count = 200
    ask_timeout: Number = 300.0
    log_format: Literal["auto", "console", "json"] = "auto"


class Throttle(Section):
    """Requests per agent, whatever their method: a token bucket."""

    per_second: Number = 500.0
    burst: Count = 1000


class BreakerSettings(Section):
    """Per upstream: opens at `failures` among the last `window` attempts, probes after `cooldown` seconds."""

    window: Count = 20
    failures: Count = 5
    cooldown: Number = 2.0

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.failures > self.window:
            raise wrong("would never open: failures is more than window", "lower failures or raise window")
        return self


class RetrySettings(Section):
    """Of idempotent tools: attempts in all, full jitter in seconds, retries allowed per call (`budget`)."""

    attempts: Count = 3
    base: Number = 0.05
    cap: Number = 2.0
    budget: Share = 0.1

    @model_validator(mode="after")
    def _cap_above_base(self) -> Self:
        if self.cap < self.base:
            raise wrong("has a cap below its base", "raise cap or lower base")
        return self


class Webhook(Section):
    """Where notices go, signed with `secret` (Standard Webhooks: `whsec_` and Base64 of 24 to 64 bytes).

    The address may have a secret in it, so it is not shown.
    """

    url: str = Field(repr=False)
    secret: SecretStr


class ApprovalSettings(Section):
    """How calls wait for people, in seconds: `hold` an open request, telling it so every `progress`.

    A ticket expires `expires` after it was opened where its rule does not say, and people are told `remind` before.
    At most `pending` tickets of one agent wait at a time.
    `console` is the address of the console as reviewers reach it, for links; without it there are none.
    """

    hold: Number = 45.0
    progress: Number = 12.0
    expires: Number = 86_400.0
    remind: Number = 900.0
    pending: Count = 100
    console: str | None = None
    webhook: Webhook | None = None


class RunSettings(Section):
    """`keep`: seconds for which the reply to a call with a key is kept. Steps of a rollback are tried `attempts` times,
    with full jitter between `base` and `cap` seconds.
    """

    keep: Number = 604_800.0
    attempts: Count = 16
    base: Number = 0.5
    cap: Number = 60.0


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
        return self.state_dir / "toolgate.db"


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
