"""Bytes on disk to text and tables. What cannot be read whole and plainly is a problem, never a guess."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import Problem

MAX_BYTES = 1024 * 1024
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(slots=True)
class Report:
    """What a load has found so far."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, file: str, key: str, message: str, fix: str) -> None:
        self.problems.append(Problem(file, key, message, fix))

    def warning(self, file: str, key: str, message: str, fix: str) -> None:
        self.warnings.append(Problem(file, key, message, fix))


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file as read: where it is, its text (for line numbers) and its table."""

    path: str
    text: str
    table: dict[str, Any]

    def places(self, kind: str, count: int) -> list[str]:
        """File and line of each of `count` `[[kind]]`; the file alone when they are not written that way."""
        header = re.compile(rf"\s*\[\[\s*{kind}\s*\]\]")
        lines = [number for number, line in enumerate(self.text.splitlines(), 1) if header.match(line)]
        return [f"{self.path}:{line}" for line in lines] if len(lines) == count else [self.path] * count


def read_text(path: Path, folder: Path, report: Report) -> str | None:
    """The text of a regular file of at most 1 MiB that really lies in `folder`; else None and a problem."""
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            report.problem(str(path), "file", "is a symlink out of the policy folder", "put the file itself there")
            return None
        if not real.is_file():
            report.problem(str(path), "file", "is not a regular file", "replace it by one, or remove it")
            return None
        with real.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        reason = error.strerror if isinstance(error, OSError) else "a loop of symlinks"
        report.problem(str(path), "file", f"cannot be read ({reason})", "create it, or mend its permissions")
        return None
    return _plain(str(path), content, report)


def _plain(path: str, content: bytes, report: Report) -> str | None:
    if len(content) > MAX_BYTES:
        report.problem(path, "file", "is larger than 1 MiB", "split it")
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.problem(f"{path}:{line}", "file", "is not UTF-8", "save it as UTF-8")
        return None
    if found := _HIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = "a byte order mark" if found[0] == "\ufeff" else "a control character"
        report.problem(f"{path}:{line}", "file", f"holds {what} (U+{ord(found[0]):04X})", "save it as plain UTF-8")
        return None
    if not text.strip():
        report.problem(path, "file", "is empty", "write the policy, or remove the file")
        return None
    return text


def read_document(path: Path, folder: Path, report: Report) -> Document | None:
    """One TOML file; None with a problem when it cannot be read or parsed."""
    text = read_text(path, folder, report)
    if text is None:
        return None
    try:
        return Document(str(path), text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        report.problem(place, "file", f"is not TOML: {error}", "mend the syntax")
    except RecursionError:
        report.problem(str(path), "file", "is nested too deeply", "write flatter conditions")
    return None
