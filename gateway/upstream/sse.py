"""Server-sent events, parsed from bytes as they arrive (WHATWG HTML, section 9.2), within a bound."""

from __future__ import annotations

import re
from collections.abc import Iterator

BIGGEST_EVENT = 4 * 1024 * 1024
"""Bytes of one event."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class TooLong(Exception):
    """An event is longer than the bound."""


class Events:
    """Feed it chunks, get the data of events that carry any. Events other than `message` are left out.

    `last_id` is the id of the latest event (also of one without data); `retry` the reconnection time the
    server wishes, in seconds. Both None until told.
    """

    def __init__(self, limit: int = BIGGEST_EVENT) -> None:
        self.last_id: str | None = None
        self.retry: float | None = None
        self._limit = limit
        self._tail = bytearray()
        self._after_cr = False
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._id: str | None = None
        self._kind = b"message"

    def resumed(self) -> Events:
        """A parser for the stream that goes on after this one."""
        after = Events(self._limit)
        after.last_id = after._id = self.last_id
        after.retry = self.retry
        return after

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Raises TooLong."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") or (self._after_cr and not chunk)
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            if self._tail:
                line, self._tail = bytes(self._tail + line), bytearray()
            if self._first:
                line, self._first = line.removeprefix(_BOM), False
            event = self._line(line)
            if event:
                yield event
        self._tail += rest
        if len(self._tail) + self._size > self._limit:
            raise TooLong

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._limit:
                raise TooLong
        elif name == b"event":
            self._kind = value or b"message"
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> bytes | None:
        if self._id is not None:
            self.last_id = self._id or None
        data = b"\n".join(self._data) if self._kind == b"message" else None
        self._data.clear()
        self._size, self._kind = 0, b"message"
        return data
