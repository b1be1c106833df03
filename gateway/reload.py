"""Policies changed while the gateway runs: watched, tried aside, put in force whole, or not at all."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from gateway.aside import aside
from gateway.candidate import Signature, signature
from gateway.errors import ConfigError, Unrecorded
from gateway.metrics import Metrics
from gateway.policy import Policy

log = logging.getLogger("toolgate.reload")

_POLL = 0.5
"""Seconds between two looks at the folder. A change is read once it was the same at two of them."""


class Reload:
    """Watches a policy folder, and keeps the last good policy in force while what is there has problems.

    `seen` is the folder as it was before the policy in force was loaded. `build` loads and checks the one that is
    there now, and raises ConfigError; it is called beside the event loop. `adopt` puts it in force, True when it is
    another than before; it raises Unrecorded when that cannot be written down, and is tried again. `failed` writes down
    what keeps one from coming into force; where it raises Unrecorded the log has it all the same.
    """

    def __init__(
        self,
        folder: Path,
        seen: Signature,
        build: Callable[[], Policy],
        adopt: Callable[[Policy], Awaitable[bool]],
        failed: Callable[[Sequence[str]], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._folder = folder
        self._seen = self._judged = seen
        self._build = build
        self._adopt = adopt
        self._record = failed
        self._metrics = metrics
        self._told = ""
        self._wake = asyncio.Event()

    def at_once(self) -> None:
        """Read the folder now, as it is."""
        self._wake.set()

    async def run(self) -> None:
        """Watch, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._wake.wait()
            asked = self._wake.is_set()
            self._wake.clear()
            try:
                await self.look(asked=asked)
            except Exception:  # whatever it is: were this task to end, no change would be seen any more
                log.exception("the policy folder could not be looked at")

    async def look(self, *, asked: bool = False) -> None:
        """One look; what changed is read when nothing moves any more, or when somebody asked."""
        now = await aside(partial(signature, self._folder))
        still, self._seen = now == self._seen, now
        if asked or (still and now != self._judged):
            await self._judge(now)

    async def _judge(self, now: Signature) -> None:
        try:
            policy = await aside(partial(_gently, self._build))
        except Exception as error:  # a file system can raise anything; whatever it is, this is no policy
            problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else []
            await self._failed(problems or [f"{self._folder}: cannot be read ({type(error).__name__})"])
        else:
            if await aside(partial(signature, self._folder)) != now:
                return  # read while it changed: files of two versions may be mixed in it
            try:
                swapped = await self._adopt(policy)
            except Unrecorded:
                await self._failed(["the audit log cannot be written: the new policy waits until it can"])
                return  # not judged: it is tried again
            self._succeeded(policy, swapped)
        self._judged = now

    async def _failed(self, problems: list[str]) -> None:
        self._metrics.reload_ok.set(0)
        self._metrics.reloads.labels("failed").inc()
        if (told := "\n".join(problems)) != self._told:
            self._told = told
            for problem in problems:
                log.error("%s", problem)
            log.error("the last good policy stays in force; see toolgate check")
            with suppress(Unrecorded):
                await self._record(problems)

    def _succeeded(self, policy: Policy, swapped: bool) -> None:
        log.info("policy %s is in force, %s", policy.digest[:12], "a new one" if swapped else "as before")
        self._told = ""
        self._metrics.reload_ok.set(1)
        self._metrics.reloads.labels("swapped" if swapped else "unchanged").inc()


def _gently(work: Callable[[], Policy]) -> Policy:
    """Do much work beside a loop that must not wait for it: hand the interpreter back ten times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 10)
    try:
        return work()
    finally:
        sys.setswitchinterval(interval)
