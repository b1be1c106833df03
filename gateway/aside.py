"""Work beside: in threads where it may block, and tasks that go on until they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_FAREWELL = 1.0
"""Seconds that tasks have to tidy up."""


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in a thread of its own.

    A daemon thread: one that a disk holds fast must not keep the gateway from ending, as asyncio's pool would.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type] # it is T when there is no error
        else:
            done.set_exception(error)

    def run() -> None:
        result, raised = None, None
        try:
            result = work()
        except BaseException as error:  # whatever it is: it belongs to whoever waits
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=run, name="toolgate-aside", daemon=True).start()
    return await done


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait; those that take their time to tidy up are cancelled again, which is final."""
    for _ in range(2):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_FAREWELL)
