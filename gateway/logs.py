"""Logs: one JSON object a line, or plain text for a person at a terminal. Never a body, never a secret."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Literal


class JsonLine(logging.Formatter):
    """`{"at": ISO 8601 in UTC, "level", "logger", "message", "error"?}`; control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = _where(record.exc_info)
        return json.dumps(line)


def _where(error: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> str:
    """An exception's type and where it came from. Its text is left out: it may quote what a caller sent."""
    frames = traceback.extract_tb(error[2])
    name = error[0].__name__ if error[0] is not None else "?"
    return f"{name} at " + " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))


class Console(logging.Formatter):
    """One line for people, with exceptions told as in JSON."""

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return "  " + _where(ei)


def set_up(style: Literal["auto", "console", "json"]) -> None:
    """Log to standard error in the chosen style; `auto` is console on a terminal and JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    handler.setFormatter(Console("%(levelname)-8s %(name)s: %(message)s") if console else JsonLine())
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
        return True


def hide(hidden: Callable[[str], str]) -> None:
    """From now on log only what `hidden` makes of each message."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Hiding(hidden))
