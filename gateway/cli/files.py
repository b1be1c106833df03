"""The operator's files, opened for a verb: everything wrong with them becomes one ConfigError."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from gateway import policy
from gateway.config import Config, check_agents, load, outline
from gateway.errors import ConfigError, Problem
from gateway.identity import Tokens
from gateway.policy import Policy
from gateway.state import State, open_store


def read(path: Path, overrides: Mapping[str, Any] | None = None) -> tuple[Config, Policy]:
    """Configuration and policies, checked whole. Raises ConfigError with the problems of both."""
    problems: list[Problem] = []
    config = agents = None
    try:
        config = load(path, os.environ, overrides)
    except ConfigError as error:
        problems += error.problems
    # Raises the same error again when the file cannot even be parsed.
    folder, servers = outline(path, os.environ)
    try:
        agents = None if folder is None else policy.load(folder, servers)
    except ConfigError as error:
        problems += error.problems
    if config is not None and agents is not None:
        problems += check_agents(config, agents.agents)
        if not problems:
            return config, agents
    raise ConfigError(problems)


@contextmanager
def open_tokens(config: Config) -> Iterator[Tokens]:
    """The tokens in the state folder, which is made when it is not there."""
    with usable_state(config):
        store = open_store(config)
        try:
            tokens = Tokens(store)
            try:
                yield tokens
            finally:
                tokens.close()
        finally:
            store.stop()


@contextmanager
def open_state(config: Config) -> Iterator[State]:
    """What is kept in the state folder, which is made when it is not there."""
    with usable_state(config):
        state = State(config)
        try:
            yield state
        finally:
            state.close()


@contextmanager
def usable_state(config: Config) -> Iterator[None]:
    """Turn a state folder or database that cannot be used into a ConfigError; leave sockets' errors alone."""
    try:
        yield
        return
    except DBAPIError as error:
        if config.shared is not None:
            message, fix = f"cannot be used: {error.orig}", "start it, or correct its address, name or password"
            raise ConfigError([Problem(config.path.name, "gateway.database", message, fix)]) from None
        reason = f"{config.database}: {error.orig}"
    except OSError as error:
        if error.filename is None:
            raise
        reason = f"{error.filename}: {error.strerror}"
    fix = "name a folder that this user may write in, and no file that something else made"
    raise ConfigError([Problem(config.path.name, "gateway.state", f"cannot be used: {reason}", fix)])
