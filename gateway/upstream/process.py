"""A child process that speaks in lines: its own process group, a chosen environment, everything bounded."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from gateway.upstream.groups import GROUPS, kill
from gateway.upstream.wire import BIGGEST_MESSAGE

_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
_GRACE = 2.0
"""Seconds to end by itself after its input was closed, and again after SIGTERM."""
_LAST_WORDS = 16 * 1024
"""Bytes of standard error that are kept."""
_STDIN, _STDOUT = 0, 1


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a child sees: an allow-list of ours, then what is configured for it."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(own)


class Process(asyncio.SubprocessProtocol):
    """`on_line` gets each line of standard output, None for one that is too long; `on_exit` is called once."""

    def __init__(self, on_line: Callable[[bytes | None], None], on_exit: Callable[[], None]) -> None:
        self.ended = asyncio.Event()
        self.last_words = bytearray()
        self._on_line = on_line
        self._on_exit = on_exit
        self._line = bytearray()
        self._skipping = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.SubprocessTransport | None = None
        self._group = 0

    async def start(self, command: str, args: Sequence[str], env: Mapping[str, str], cwd: Path | str | None) -> None:
        """Raises OSError or ValueError when the command cannot be started."""
        loop = asyncio.get_running_loop()
        await loop.subprocess_exec(lambda: self, command, *args, env=environment(env), cwd=cwd, start_new_session=True)

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self.ended.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._group = self._transport.get_pid()
        GROUPS.add(self._group)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != _STDOUT:
            self.last_words += data
            del self.last_words[:-_LAST_WORDS]
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole, self._line = bytes(self._line + line), bytearray()
            too_long, self._skipping = self._skipping or len(whole) > BIGGEST_MESSAGE, False
            self._on_line(None if too_long else whole)
        if not self._skipping:
            self._line += rest
        if len(self._line) > BIGGEST_MESSAGE:
            self._line, self._skipping = bytearray(), True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def process_exited(self) -> None:
        GROUPS.remove(self._group)
        self.ended.set()
        self._writable.set()
        self._on_exit()

    def send(self, line: bytes) -> None:
        """Hand a line over; only what the process is slow to read is kept."""
        if self.alive:
            self._stdin().write(line + b"\n")

    async def drained(self) -> None:
        """Wait until the process has taken most of what was sent, or has ended."""
        await self._writable.wait()

    def _stdin(self) -> asyncio.WriteTransport:
        transport = cast(asyncio.SubprocessTransport, self._transport)
        return cast(asyncio.WriteTransport, transport.get_pipe_transport(_STDIN))

    async def stop(self, grace: float = _GRACE) -> None:
        """Close its input, wait, SIGTERM to the group, wait, SIGKILL."""
        if self._transport is None:
            return
        try:
            if self.alive:
                self._stdin().close()
            for step in (signal.SIGTERM, signal.SIGKILL):
                if not await self._ends_within(grace):
                    kill(self._group, step)
            await self.ended.wait()
        finally:
            if self.alive:
                kill(self._group, signal.SIGKILL)
            self._transport.close()

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True
