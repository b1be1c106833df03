from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from gateway.audit import Audit
from gateway.call import Call, CallNext, Peer, Result
from gateway.errors import Refused, Unbridgeable, Unrecorded, UpstreamError
from gateway.metrics import Metrics
from gateway.rules.screen import Screen, Withheld
from gateway.rules.secrets import Secrets, of_call
from gateway.rules.sizes import size
from gateway.traces import span

log = logging.getLogger("toolgate.guard")

T = TypeVar("T")

_SMALL = 32_768
"""Bytes of an answer that is looked at faster than a thread is begun."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Look once at all that leaves: no secret, nothing hidden, not too large, untrusted text wrapped.

    `secrets` are those of the configuration; the call's own declared ones are added. What was done is told in a
    `guard` event, durable before the reply, and counted; words that speak to the model are told and pass.
    """

    secrets: Secrets
    limit: int
    audit: Audit
    metrics: Metrics

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        screen = Screen(call, of_call(self.secrets, call), self.limit)
        try:
            result = await call_next(replace(call, peer=Screened(call.peer, screen)))
            result = await _aside(partial(screen.result, result), result)
        except UpstreamError as error:
            told = await _aside(partial(screen.error, error), [error.message, error.data])
            await self._tell(screen, None)
            raise told from None
        except Refused:
            await self._tell(screen, None)
            raise
        except asyncio.CancelledError:
            self._told(screen, None)  # the caller is gone: nobody waits for it to be durable
            raise
        await self._tell(screen, result)
        return result

    async def _tell(self, screen: Screen, result: Result | None) -> None:
        """Raises Unrecorded in words that do not invite to call again."""
        event = self._told(screen, result)
        if event is None:
            return
        try:
            await event
        except Unrecorded as refused:
            raise Unrecorded(
                "The gateway cannot write its audit log, so the answer to this call is held back. "
                "The call may have taken effect: look before you repeat it.",
                retry_after=refused.retry_after,
            ) from None

    def _told(self, screen: Screen, result: Result | None) -> asyncio.Future[None] | None:
        """Count what was found, and hand its event to the writer; None when there is nothing to tell."""
        findings, call = screen.findings, screen.call
        kinds = findings.kinds()
        if not kinds:
            return None
        tool = call.tool if call.definition is not None else "-"
        for kind in kinds:
            self.metrics.guard.labels(call.server, tool, kind).inc()
        if findings.masked or findings.withheld:
            log.warning("%s: a secret was in what it said in call %s (%s)", call.server, call.id, tool)
        data = {
            "masked": findings.masked,
            "stripped": findings.stripped,
            "withheld": findings.withheld,
            "cut": findings.cut,
            "markers": findings.markers,
        }
        return self.audit.guard(call, {name: value for name, value in data.items() if value}, result)


@dataclass(frozen=True, slots=True)
class Screened:
    """A peer that hears and is asked only what may leave."""

    peer: Peer
    screen: Screen

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        with contextlib.suppress(Withheld):
            heard = await _aside(partial(self.screen.message, params, "notification"), params)
            await self.peer.notify(method, heard)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        try:
            asked = await _aside(partial(self.screen.message, params, "question"), params)
        except Withheld:
            raise Unbridgeable(f"The question ({method}) is withheld: there is a secret in it, or too much.") from None
        return await self.peer.ask(method, asked)


async def _aside(look: Callable[[], T], value: Any) -> T:
    """What a look at `value` makes of it; in a thread when it may take long, so that other calls go on meanwhile."""
    try:
        small = size(value) <= _SMALL
    except TypeError:  # nested too deep, which the look finds too
        small = True
    if small:
        return look()
    with span("toolgate.guard"):
        return await asyncio.to_thread(look)
