"""What the command line is given, read and checked: files, tokens, addresses, ids."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

from agents.order import ORDER

DEFAULT_GATEWAY = "http://127.0.0.1:8080/mcp"
DEFAULT_JOURNAL = "var/agents.db"
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class UsageError(Exception):
    """The command cannot be run as it was given; the text names all that is wrong and how to mend it."""


def seconds(text: str) -> float:
    """A time from the command line. 0 is none."""
    value = float(text)
    if not 0 <= value <= 30 * 86_400:
        raise argparse.ArgumentTypeError("a time is from 0 seconds to 30 days (2592000)")
    return value


def lease(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("a lease is from 1 second to a day (86400)")
    return value


def identity(text: str) -> str:
    """The id of a new run from the command line."""
    if not _IDENTITY.fullmatch(text):
        raise argparse.ArgumentTypeError("an id is 1 to 80 letters, digits, dots, dashes and underscores")
    return text


def plain(text: str) -> str:
    """A text as the beginning of an id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60] or "run"


def gateway_of(given: str | None, environ: Mapping[str, str]) -> str:
    """The gateway's address. Raises UsageError."""
    url = str(given or environ.get("TOOLGATE_URL") or DEFAULT_GATEWAY)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"the gateway's address {url!r} is no http(s) URL; give one like {DEFAULT_GATEWAY}")
    return url


def journal_of(given: str | None, environ: Mapping[str, str]) -> str:
    """Where runs are written down. Raises UsageError."""
    place = str(given or environ.get("TOOLGATE_JOURNAL") or DEFAULT_JOURNAL)
    scheme = place.partition("://")[0] if "://" in place else ""
    if scheme not in ("", "postgresql"):
        raise UsageError(f"a journal is a path, or a URL that begins with postgresql://, and not with {scheme}://")
    return place


def tokens_of(agents: Sequence[str], file: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The token of each agent, from the file, else from TOOLGATE_TOKEN_<AGENT>. Raises UsageError."""
    given = read_json(file) if file else {}
    if not isinstance(given, dict):
        raise UsageError(f"{file} should be a JSON object that maps each agent to its token")
    found = {name: given.get(name) or environ.get(_variable(name)) for name in agents}
    wrong = [name for name, token in found.items() if not isinstance(token, str) or not token.isascii()]
    if wrong:
        wanted = ", ".join(f"{name} ({_variable(name)})" for name in wrong)
        raise UsageError(
            f"no token for {wanted}; put each in the --tokens file or in its variable. "
            "`toolgate token create` makes one"
        )
    return {name: str(token) for name, token in found.items()}


def read_order(file: Path) -> dict[str, Any]:
    """Raises UsageError."""
    order = read_json(file)
    errors = sorted(Draft202012Validator(ORDER).iter_errors(order), key=lambda error: error.json_path)
    if errors:
        problems = "; ".join(f"{error.json_path}: {error.message}" for error in errors)
        raise UsageError(f"{file} is not an order: {problems}. See agents/examples/order.json")
    return dict(order)


def read_json(file: Path) -> Any:
    """Raises UsageError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}") from None


def _variable(agent: str) -> str:
    return f"TOOLGATE_TOKEN_{agent.upper().replace('-', '_')}"
