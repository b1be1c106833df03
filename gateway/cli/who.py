"""Who runs a command: the operator by name, and the reviewer behind a token."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

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
    if token is None:
        why = "is not set, and who decides must be known"
    elif token.startswith("tg_"):
        why = "holds a token of an agent, and no agent decides"
    else:
        try:
            return reviewers.verify(token)
        except Unauthenticated:
            why = "holds no reviewer's token in force: it is mistyped, unknown, expired or revoked"
    fix = f"make one with toolgate reviewer create NAME, and give it in ${VARIABLE} or with --token-file FILE"
    raise ConfigError([Problem(f"toolgate {arguments.verb} {arguments.deed}", source, why, fix)])


def _token(file: Path | None) -> tuple[str, str | None]:
    """Where the token comes from, and what is there. Never from an argument: other users can see those."""
    if file is None:
        return VARIABLE, os.environ.get(VARIABLE, "").strip() or None
    if str(file) == "-":
        return "standard input", sys.stdin.readline(_LONGEST).strip()
    with file.open(encoding="utf-8", errors="replace") as stream:
        return str(file), stream.readline(_LONGEST).strip()
