"""Between eras: how a call reaches its upstream, and how an upstream's questions reach the client.

| client | upstream | a question of the upstream                                                        |
|--------|----------|-----------------------------------------------------------------------------------|
| legacy | legacy   | is asked live, on the stream of the call                                            |
| legacy | modern   | comes as an `input_required` result: asked live, then the call is sent again        |
| modern | modern   | passes as it is; its `requestState` is sealed to agent and call on the way          |
| modern | legacy   | the running call is parked, the client gets `input_required` and comes back to it   |
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from gateway.call import Call, Credential, Peer, Result
from gateway.errors import StaleState, Unbridgeable, Unexpected

_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_QUESTIONS = {
    "elicitation": "elicitation/create",
    "sampling": "sampling/createMessage",
    "roots": "roots/list",
}

ROUNDS = 10
"""How often one call may come back with questions before the gateway gives up on it."""


class Target(Protocol):
    """An upstream, as far as a call needs it."""

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, credential: Credential | None = None
    ) -> Result: ...


def answerable(meta: Mapping[str, Any]) -> frozenset[str]:
    """The methods a client can be asked, by the capabilities in its `_meta`."""
    declared = meta.get(_CAPABILITIES)
    if not isinstance(declared, Mapping):
        return frozenset()
    return frozenset(method for name, method in _QUESTIONS.items() if declared.get(name) is not None)


def unanswerable(method: Any) -> str:
    known = method if method in _QUESTIONS.values() else "something unknown to the protocol"
    return f"The tool asked the client for {known}, which this client does not support. Go on without this tool."


@dataclass(frozen=True, slots=True)
class Limited:
    """A peer that is asked only what its client can answer."""

    peer: Peer
    can: frozenset[str]

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        await self.peer.notify(method, params)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        if method not in self.can:
            raise Unbridgeable(unanswerable(method))
        return await self.peer.ask(method, params)


@dataclass(frozen=True, slots=True)
class Seal:
    """Binds an upstream's `requestState` to the agent and the call it was given to (HMAC-SHA256)."""

    secret: bytes

    def close(self, call: Call, state: str) -> str:
        return f"{self._mac(call, state)}.{state}"

    def open(self, call: Call, sealed: Any) -> str:
        """The upstream's own state. Raises StaleState."""
        mac, _, state = sealed.partition(".") if isinstance(sealed, str) else ("", "", "")
        if not hmac.compare_digest(mac, self._mac(call, state)):
            raise _stale()
        return state

    def _mac(self, call: Call, state: str) -> str:
        bound = [call.principal.agent, call.server, call.method, call.tool, dict(call.arguments), state]
        body = orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)
        return base64.urlsafe_b64encode(hmac.new(self.secret, body, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Bridge:
    """Sends calls that carry a permit to their upstream. The innermost step."""

    upstreams: Mapping[str, Target]
    seal: Seal

    async def send(self, call: Call) -> Result:
        """The upstream's result. Raises Refused."""
        if call.permit is None:
            raise Unexpected("This call was not authorized, so nothing was sent.")
        upstream = self.upstreams[call.server]
        params = _params(call)
        if "requestState" in call.answers:
            params["requestState"] = self.seal.open(call, call.answers["requestState"])
        if "inputResponses" in call.answers:
            params["inputResponses"] = call.answers["inputResponses"]
        for _ in range(ROUNDS):
            result = await upstream.request(call.method, params, peer=call.peer, credential=call.credential)
            if result.get("resultType") != "input_required":
                return result
            if call.era == "modern":
                return self._sealed(call, result)
            params = {**_params(call), **await _asked(call, result)}
        raise Unbridgeable(f"{call.server} asked for more input {ROUNDS} times, so the call was given up.")

    def _sealed(self, call: Call, result: Result) -> Result:
        can = answerable(call.meta)
        for question in (result.get("inputRequests") or {}).values():
            if question.get("method") not in can:
                raise Unbridgeable(unanswerable(question.get("method")))
        state = result.get("requestState")
        return {**result, "requestState": self.seal.close(call, state)} if isinstance(state, str) else result


def _params(call: Call) -> dict[str, Any]:
    """What the upstream is sent: its own names, the caller's `_meta` less what is ours alone."""
    meta = dict(call.meta)
    if call.run is not None:
        meta["toolgate/run"] = call.run
    if call.key is not None:
        meta["toolgate/key"] = call.key
    match call.method:
        case "completion/complete":
            return {**call.arguments, "_meta": meta}
        case "tools/call" | "prompts/get":
            return {"name": call.tool, "arguments": dict(call.arguments), "_meta": meta}
        case _:
            return {"uri": call.tool, "_meta": meta}


async def _asked(call: Call, result: Result) -> dict[str, Any]:
    """Ask a legacy client what a modern upstream wants to know; the fields of the next attempt."""
    answers = {}
    for name, question in (result.get("inputRequests") or {}).items():
        answers[name] = await call.peer.ask(question["method"], question.get("params") or {})
    state = result.get("requestState")
    fields: dict[str, Any] = {"inputResponses": answers} if answers else {}
    return fields if state is None else {**fields, "requestState": state}


@dataclass(slots=True, eq=False)
class Parked:
    """A running call of a modern client. It is its peer: it can be asked, because the client comes back.

    Questions go out in an `input_required` result; the client's next request brings the answers.
    """

    agent: str
    call: bytes
    patience: float
    exchange: Peer | None
    task: asyncio.Task[Result] | None = None
    waiting: dict[str, tuple[dict[str, Any], asyncio.Future[Result]]] = field(default_factory=dict)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    handle: str = ""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
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


class Parking:
    """Keeps calls of modern clients whose legacy upstream has a question, until the client returns.

    They live in this process: a client that comes back to another one is told that its state is stale.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
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
            if isinstance(state, str) and state.startswith("parked."):
                raise _stale()
            parked = Parked(agent, call, self._patience, exchange)
            parked.task = asyncio.ensure_future(work(parked))
        elif (parked.agent, parked.call) != (agent, call):
            self._parked[parked.handle] = parked
            raise _stale()
        else:
            parked.exchange = exchange
            _deliver(parked, fields.get("inputResponses"))
        return await self._step(parked)

    async def _step(self, parked: Parked) -> Result:
        """Wait for the call to end or to ask. A client that leaves while it runs cancels it."""
        assert parked.task is not None
        parked.stirred.clear()
        stirred = asyncio.ensure_future(parked.stirred.wait())
        try:
            if not parked.waiting:
                await asyncio.wait({parked.task, stirred}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            parked.task.cancel()
            raise
        finally:
            stirred.cancel()
        if parked.task.done():
            return parked.task.result()
        parked.exchange = None
        parked.handle = f"parked.{secrets.token_urlsafe(24)}"
        self._parked[parked.handle] = parked
        parked.task.add_done_callback(lambda task: self._forget(parked, task))
        questions = {name: question for name, (question, _) in parked.waiting.items()}
        return {"resultType": "input_required", "inputRequests": questions, "requestState": parked.handle}

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


def _deliver(parked: Parked, answers: Any) -> None:
    for name, answer in answers.items() if isinstance(answers, Mapping) else ():
        if name in parked.waiting and isinstance(answer, dict):
            future = parked.waiting.pop(name)[1]
            if not future.done():
                future.set_result(answer)


def _stale() -> StaleState:
    return StaleState("Invalid or expired requestState: call again without it.")
