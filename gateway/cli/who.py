"""Who runs a command: the operator by name, and the reviewer behind a token."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import NoReturn

from gateway.config import Config
from gateway.errors import ConfigError, Problem, Unauthenticated
from gateway.policy import agents_in
from gateway.reviewers import Reviewer, Reviewers

VARIABLE = "TOOLGATE_REVIEWER_TOKEN"
_LONGEST = 1024


def user() -> str:
    """The name of whoever is logged in here, as the system has it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def reviewer(arguments: argparse.Namespace, reviewers: Reviewers, config: Config) -> Reviewer:
    """Who decides: the reviewer whose token is in `--token-file`, else in the environment. Raises ConfigError."""
    reviewers.agents = agents_in(config.policies_dir)
    source, token = _token(arguments.token_file)
    if not token:
        _refuse(source, "holds no reviewer's token, and who decides must be known", _HOW)
    try:
        return reviewers.verify(token)
    except Unauthenticated:
        if token.startswith("tg_"):
            _refuse(source, "is a token of an agent, and no agent decides", _HOW)
        _refuse(source, "is no reviewer's token in force: mistyped, expired or revoked", _HOW)


_HOW = f"make one with toolgate reviewer create NAME, and give it in ${VARIABLE} or with --token-file"


def _token(file: Path | None) -> tuple[str, str]:
    """Where the token comes from, and what is there. Never from an argument: other users can see those."""
    if file is None:
        return VARIABLE, os.environ.get(VARIABLE, "").strip()
    if str(file) == "-":
        return "standard input", sys.stdin.readline(_LONGEST).strip()
    with file.open(encoding="utf-8", errors="replace") as stream:
        return str(file), stream.readline(_LONGEST).strip()


def _refuse(source: str, message: str, fix: str) -> NoReturn:
    raise ConfigError([Problem(source, "token", message, fix)])
