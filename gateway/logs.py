"""Logs: one JSON object a line, or plain text for a person at a terminal. Never a body, never a secret."""

from __future__ import annotations

import json
import logging
import sys
import time
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
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(style: Literal["auto", "console", "json"]) -> None:
    """Log to standard error in the chosen style; `auto` is console on a terminal and JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    handler.setFormatter(logging.Formatter("%(levelname)-8s %(name)s: %(message)s") if console else JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("toolgate").setLevel(logging.INFO)
    # The SDK logs stacks of requests that reach a session as it ends; what matters passes through us anyway.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
