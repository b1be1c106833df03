"""`${VAR}`, `${VAR:-default}` and `${file:path}` in the strings of a parsed TOML file.

What a reference stands for may be a secret: it appears in no problem, only the reference's name does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import Problem

Key = tuple[str | int, ...]
"""Where a value stands in the file: table keys and list positions."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(key: Key) -> str:
    """`key` as an operator would write it: `servers.git.args[0]`; unusual names are quoted."""
    text = ""
    for step in key:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE.fullmatch(step) else ascii(step))
    return text


@dataclass(slots=True)
class Interpolation:
    """Replaces references in the values of one file; `problems` by key tell which could not be."""

    file: Path
    environ: Mapping[str, str]
    problems: dict[Key, Problem] = field(default_factory=dict)

    def apply(self, value: Any, key: Key = ()) -> Any:
        """`value` with every reference in its strings replaced; a string with a problem stays as it is."""
        if isinstance(value, dict):
            return {name: self.apply(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*key, position)) for position, item in enumerate(value)]
        if isinstance(value, str):
            return self._replace(value, key)
        return value

    def _replace(self, text: str, key: Key) -> str:
        try:
            return _REFERENCE.sub(self._resolve, text)
        except _Unresolved as error:
            self.problems[key] = Problem(self.file.name, dotted(key), error.message, error.fix)
            return text

    def _resolve(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        reference = match[1]
        if reference is not None and reference.startswith("file:"):
            return self._content(reference.removeprefix("file:"))
        name, has_default, default = (reference or "").partition(":-")
        if not _NAME.fullmatch(name):
            raise _Unresolved(
                "a ${...} in it is not a reference",
                "write ${VAR}, ${VAR:-default} or ${file:path}; $${ stands for a literal ${",
            )
        if has_default:
            return self.environ.get(name) or default
        if name not in self.environ:
            raise _Unresolved(
                f"the environment variable {name} is not set",
                f"set {name}, or give a default: ${{{name}:-default}}",
            )
        return self.environ[name]

    def _content(self, name: str) -> str:
        try:
            text = (self.file.parent / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = (error.strerror or "unreadable") if isinstance(error, OSError) else "it is not UTF-8 text"
            raise _Unresolved(
                f"the file {name!a} cannot be read: {why}",
                "give the path of a readable text file, relative to the folder of this file",
            ) from None
        return text.removesuffix("\n").removesuffix("\r")


class _Unresolved(Exception):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
