"""Checkpoints that go to a URL: the lines of the local file, posted in order, each until somebody took it."""

from __future__ import annotations

import http.client
import logging
import os
from pathlib import Path

from gateway.approvals.webhook import Post
from gateway.metrics import Metrics

log = logging.getLogger("toolgate.audit")

_MOST = 262_144
"""Bytes of one POST."""
_HEADERS = {"content-type": "application/jsonl", "user-agent": "toolgate"}


class Outbox:
    """Sends the lines of `path` that were not sent before; where it stands is in a file beside it.

    What was sent when the process ended may be sent again. The address may have a secret in it, and is not told.
    """

    def __init__(self, path: Path, url: str, metrics: Metrics) -> None:
        self._path = path
        self._url = url
        self._metrics = metrics
        self._place = path.with_name(f"{path.name}.sent")
        self._failing = False

    def look(self) -> None:
        """Send what waits. Blocks, for some seconds where nobody answers. Raises OSError of the files."""
        while lines := self._waiting():
            problem = self._send(lines)
            self._metrics.audit_checkpoint_ok.labels("url").set(0 if problem else 1)
            if problem is not None:
                if not self._failing:
                    log.error("checkpoints cannot be sent: %s. Calls go on; it is tried again", problem)
                self._failing = True
                return
            if self._failing:
                log.warning("checkpoints can be sent again")
            self._failing = False
            self._advance(len(lines))

    def _waiting(self) -> bytes:
        """Whole lines that were not sent."""
        if not self._path.exists():
            return b""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = self._sent()
            file.seek(begin if begin <= size else 0)  # it is another file when it is shorter
            content = file.read(_MOST)
        return content[: content.rfind(b"\n") + 1]

    def _sent(self) -> int:
        try:
            return int(self._place.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _advance(self, sent: int) -> None:
        size = self._path.stat().st_size
        begin = self._sent()
        aside = self._place.with_name(f".{self._place.name}")
        aside.write_text(str((begin if begin <= size else 0) + sent), encoding="ascii")
        aside.replace(self._place)

    def _send(self, lines: bytes) -> str | None:
        """What went wrong, without anything of the address, or None."""
        try:
            status = Post(self._url).send(_HEADERS, lines)
        except (OSError, http.client.HTTPException) as error:
            return f"the receiver cannot be reached ({type(error).__name__})"
        return None if 200 <= status < 300 else f"the receiver answered with status {status}"
