"""Logs: one JSON object a line, or plain text for a person at a terminal. Never a body, never a secret."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal

from gateway.call import Call

_calls = logging.getLogger("toolgate.calls")

_AS_WISHED = frozenset({"ok", "pending"})
_COLORS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


class JsonLine(logging.Formatter):
    """`{"at": ISO 8601 in UTC, "level", "logger", "message", "error"?}` and the fields of the record, if it has any;
    control characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = _where(record.exc_info)
        return json.dumps(line)


def _where(error: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> str:
    """An exception's type and where it came from. Its text is left out: it may quote what a caller sent."""
    frames = traceback.extract_tb(error[2])
    name = error[0].__name__ if error[0] is not None else "?"
    return f"{name} at " + " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(record, "fields", {})
    return found


class Console(logging.Formatter):
    """One line for people, with exceptions told as in JSON: local time, level, who speaks, what, and the run and trace
    of a call.
    """

    def __init__(self, *, colored: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)-18s %(message)s", "%H:%M:%S")
        self._colored = colored

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        fields = _fields(record)
        ids = "".join(f"  {name} {fields[name]}" for name in ("run", "trace") if name in fields)
        if not self._colored:
            return line + ids
        level = f"{record.levelname:<8}"
        line = line.replace(level, f"\x1b[{_COLORS.get(record.levelname, '0')}m{level}\x1b[0m", 1)
        return f"{line}\x1b[2m{ids}\x1b[0m" if ids else line

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return "  " + _where(ei)


def set_up(style: Literal["auto", "console", "json"]) -> None:
    """Log to standard error in the chosen style; `auto` is console on a terminal and JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    terminal = sys.stderr.isatty()
    console = style == "console" or (style == "auto" and terminal)
    handler.setFormatter(Console(colored=terminal) if console else JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("toolgate").setLevel(logging.INFO)
    # The SDK logs stacks of requests that reach a session as it ends; what matters passes through us anyway.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)


class _Hiding(logging.Filter):
    def __init__(self, hidden: Callable[[str], str]) -> None:
        super().__init__()
        self._hidden = hidden

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._hidden(record.getMessage()), None
        if fields := _fields(record):
            shown = {name: self._hidden(value) if isinstance(value, str) else value for name, value in fields.items()}
            record.__dict__["fields"] = shown
        return True


def hide(hidden: Callable[[str], str]) -> None:
    """From now on log only what `hidden` makes of each message."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Hiding(hidden))


def untold(call: Call, outcome: str, seconds: float) -> None:
    """Say nothing of a call."""


def calls_told(which: Literal["none", "failed", "all"]) -> Callable[[Call, str, float], None]:
    """How calls are told of: none, those that did not go as wished, or all."""
    if which == "none":
        return untold
    return _tell if which == "all" else _tell_failed


def _tell_failed(call: Call, outcome: str, seconds: float) -> None:
    if outcome not in _AS_WISHED:
        _tell(call, outcome, seconds)


def _tell(call: Call, outcome: str, seconds: float) -> None:
    """One line: who called what, what became of it, how long it took, and the run and trace it belongs to."""
    agent, server = call.principal.agent, call.server or "-"
    tool = call.tool if call.definition is not None else "-"
    milliseconds = round(seconds * 1000, 3)
    fields: dict[str, Any] = {
        "call": call.id,
        "agent": agent,
        "server": server,
        "tool": tool,
        "method": call.method,
        "outcome": outcome,
        "ms": milliseconds,
    }
    if call.run is not None:
        fields["run"] = call.run
    if (trace := call.trace) is not None:
        fields["trace"] = trace
    level = logging.INFO if outcome in _AS_WISHED else logging.WARNING
    _calls.log(
        level, "%s called %s/%s: %s in %s ms", agent, server, tool, outcome, milliseconds, extra={"fields": fields}
    )
