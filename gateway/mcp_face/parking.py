"""Calls of modern clients that wait, still running, until their client comes back with an answer."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.bridge import stale
from gateway.call import Peer, Result
from gateway.errors import Unbridgeable
from gateway.upstream.wire import progress_token

_PARKED = "parked."


def owner_of(state: Any) -> str | None:
    """The process in which the call waits that this `requestState` names; None when it names none."""
    if not isinstance(state, str) or not state.startswith(_PARKED):
        return None
    return state.removeprefix(_PARKED).partition(".")[0]


@dataclass(slots=True, eq=False)
class Parked:
    """A running call of a modern client. It is its peer: it can be asked, because the client comes back.

    Questions go out in an `input_required` result; the client's next request brings the answers.
    """

    agent: str
    call: bytes
    patience: float
    exchange: Peer | None
    token: str | int | None
    """The progress token of the request that its client waits for now."""
    task: asyncio.Task[Result] | None = None
    waiting: dict[str, tuple[dict[str, Any], asyncio.Future[Result]]] = field(default_factory=dict)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    handle: str = ""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/progress":
            params = {**params, "progressToken": self.token}
        if self.exchange is not None:
            await self.exchange.notify(method, params)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        name = secrets.token_urlsafe(8)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.waiting[name] = ({"method": method, "params": params}, answer)
        self.stirred.set()
        try:
            async with asyncio.timeout(self.patience):
                return await answer
        except TimeoutError:
            raise Unbridgeable(f"The client did not answer within {self.patience:g} seconds.") from None
        finally:
            self.waiting.pop(name, None)

    async def step(self, seconds: float | None = None) -> bool:
        """Wait until the call ends or asks, at most `seconds`; whether it ended."""
        assert self.task is not None
        self.stirred.clear()
        stirred = asyncio.ensure_future(self.stirred.wait())
        try:
            if not self.waiting:
                await asyncio.wait({self.task, stirred}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirred.cancel()
        return self.task.done()

    def questions(self) -> dict[str, dict[str, Any]]:
        """What it asks now, by names that no other question of it has."""
        return {name: question for name, (question, _) in self.waiting.items()}

    def deliver(self, answers: Any) -> None:
        """Answer what it asks; what is no answer to that is left out."""
        for name, answer in answers.items() if isinstance(answers, Mapping) else ():
            if name in self.waiting and isinstance(answer, dict):
                future = self.waiting.pop(name)[1]
                if not future.done():
                    future.set_result(answer)


class Parking:
    """Keeps calls of modern clients whose legacy upstream has a question, until the client returns.

    They live in this process, `owner`: a client that comes back to another one is passed on (`mcp_face.forwarding`), or
    told that its state is stale.
    """

    def __init__(self, patience: float, owner: str = "") -> None:
        self._patience = patience
        self._owner = owner
        self._parked: dict[str, Parked] = {}

    async def run(
        self,
        agent: str,
        call: bytes,
        fields: Mapping[str, Any],
        exchange: Peer,
        work: Callable[[Peer], Awaitable[Result]],
    ) -> Result:
        """Run `work`, or go on with the parked call that `fields` name; its result, or its questions."""
        state = fields.get("requestState")
        parked = self._parked.pop(state, None) if isinstance(state, str) else None
        if parked is None:
            if isinstance(state, str) and state.startswith(_PARKED):
                raise stale()
            parked = Parked(agent, call, self._patience, exchange, progress_token(fields))
            parked.task = asyncio.ensure_future(work(parked))
            parked.task.add_done_callback(functools.partial(self._forget, parked))
        elif (parked.agent, parked.call) != (agent, call):
            self._parked[parked.handle] = parked
            raise stale()
        else:
            parked.exchange, parked.token = exchange, progress_token(fields)
            parked.deliver(fields.get("inputResponses"))
        return await self._step(parked)

    async def _step(self, parked: Parked) -> Result:
        """Wait for the call to end or to ask. A client that leaves while it runs cancels it."""
        assert parked.task is not None
        try:
            ended = await parked.step()
        except asyncio.CancelledError:
            parked.task.cancel()
            raise
        if ended:
            return parked.task.result()
        parked.exchange = None
        parked.handle = f"{_PARKED}{self._owner}.{secrets.token_urlsafe(24)}"
        self._parked[parked.handle] = parked
        return {"resultType": "input_required", "inputRequests": parked.questions(), "requestState": parked.handle}

    def _forget(self, parked: Parked, task: asyncio.Task[Result]) -> None:
        self._parked.pop(parked.handle, None)
        if not task.cancelled():
            task.exception()  # nobody came back for it; its outcome event tells what happened

    async def close(self) -> None:
        """Cancel what is parked."""
        tasks = [parked.task for parked in self._parked.values() if parked.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
