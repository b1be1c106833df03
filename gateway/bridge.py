"""Between eras: how a call reaches its upstream, and how an upstream's questions reach the client.

| client | upstream | a question of the upstream                                                        |
|--------|----------|-----------------------------------------------------------------------------------|
| legacy | legacy   | is asked live, on the stream of the call                                            |
| legacy | modern   | comes as an `input_required` result: asked live, then the call is sent again        |
| modern | modern   | passes as it is; its `requestState` is sealed to agent and call on the way          |
| modern | legacy   | the running call is parked (`mcp_face.parking`) until the client brings the answer |
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gateway.call import OWN, Call, CallNext, Credential, Peer, Result
from gateway.errors import StaleState, Unbridgeable, Unexpected, UpstreamError
from gateway.upstream.failures import garbled

_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_QUESTIONS = {
    "elicitation": "elicitation/create",
    "sampling": "sampling/createMessage",
    "roots": "roots/list",
}
_BY_URL = "elicitation/create by URL"

ROUNDS = 10
"""How often one call may come back with questions before the gateway gives up on it."""


Questions = Mapping[str, Mapping[str, Any]]
"""`inputRequests`: what to ask, by a name of the upstream's choice."""


class Target(Protocol):
    """An upstream, as far as a call needs it."""

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, credential: Credential | None = None
    ) -> Result: ...


def answerable(meta: Mapping[str, Any]) -> frozenset[str]:
    """What a client can be asked, by the capabilities in its `_meta`: names as `named` gives them."""
    declared = meta.get(_CAPABILITIES)
    if not isinstance(declared, Mapping):
        return frozenset()
    can = {method for name, method in _QUESTIONS.items() if declared.get(name) is not None}
    modes = declared.get("elicitation")
    if isinstance(modes, Mapping) and "url" in modes:
        can.add(_BY_URL)
        if "form" not in modes:
            can.remove(_QUESTIONS["elicitation"])
    return frozenset(can)


def named(method: Any, params: Any) -> str:
    """What a question is called: its method, and whether it sends the user to a URL, which not every client can."""
    if method == _QUESTIONS["elicitation"] and isinstance(params, Mapping) and params.get("mode") == "url":
        return _BY_URL
    return method if method in _QUESTIONS.values() else "something unknown to the protocol"


def _unanswerable(name: str) -> Unbridgeable:
    return Unbridgeable(f"The tool asked the client for {name}, which this client does not support. Go on without it.")


@dataclass(slots=True)
class Limited:
    """A peer that is asked only what its client can answer, by the capabilities in `meta`.

    `agent` is whose client it is; `refused` the last question it was spared.
    """

    peer: Peer
    meta: Mapping[str, Any]
    agent: str
    refused: Unbridgeable | None = None

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        await self.peer.notify(method, params)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        self.check(named(method, params))
        return await self.peer.ask(method, params)

    def check(self, name: str) -> None:
        """Raises Unbridgeable when the client cannot be asked this."""
        if name not in answerable(self.meta):
            self.refused = _unanswerable(name)
            raise self.refused


@dataclass(frozen=True, slots=True)
class Seal:
    """Binds an upstream's `requestState` to the agent and the call it was given to (HMAC-SHA256)."""

    secret: bytes

    def close(self, call: Call, state: str) -> str:
        return f"{self._mac(call, state)}.{state}"

    def open(self, call: Call, sealed: Any) -> str:
        """The upstream's own state. Raises StaleState."""
        mac, _, state = sealed.partition(".") if isinstance(sealed, str) else ("", "", "")
        if not hmac.compare_digest(mac.encode(), self._mac(call, state).encode()):
            raise stale()
        return state

    def _mac(self, call: Call, state: str) -> str:
        bound = [call.principal.agent, call.server, call.method, call.tool, dict(call.arguments), state]
        body = orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)
        return base64.urlsafe_b64encode(hmac.new(self.secret, body, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Bridge:
    """Sends calls that carry a permit to their upstream. The innermost step. `own` answers those of our own tools."""

    upstreams: Mapping[str, Target]
    seal: Seal
    own: CallNext

    async def send(self, call: Call) -> Result:
        """The upstream's result. Raises Refused."""
        if call.permit is None:
            raise Unexpected("This call was not authorized, so nothing was sent.")
        if call.server == OWN:
            return await self.own(call)
        upstream = self.upstreams[call.server]
        params = _params(call)
        if "requestState" in call.answers:
            params["requestState"] = self.seal.open(call, call.answers["requestState"])
        if "inputResponses" in call.answers:
            params["inputResponses"] = call.answers["inputResponses"]
        peer = Limited(call.peer, call.meta, call.principal.agent)
        for _ in range(ROUNDS):
            try:
                result = await upstream.request(call.method, params, peer=peer, credential=call.credential)
            except UpstreamError:
                if peer.refused is not None:  # the error says less of why than we know
                    raise peer.refused from None
                raise
            result = _unclaimed(result)
            if result.get("resultType") == "task":  # whose it would be, nobody could say later
                raise garbled(call.server)
            if result.get("resultType") != "input_required":
                return result
            questions = _questions(call, result)
            if call.era == "modern":
                return self._sealed(call, peer, questions, result)
            params = {**_params(call), **await _asked(peer, questions, result)}
        raise Unbridgeable(f"{call.server} asked for more input {ROUNDS} times, so the call was given up.")

    def _sealed(self, call: Call, peer: Limited, questions: Questions, result: Result) -> Result:
        for question in questions.values():
            peer.check(named(question.get("method"), question.get("params")))
        state = result.get("requestState")
        return {**result, "requestState": self.seal.close(call, state)} if isinstance(state, str) else result


def _unclaimed(result: Result) -> Result:
    """The result without `_meta` keys that only the gateway may set: an upstream could forge a refusal."""
    meta = result.get("_meta")
    if not isinstance(meta, dict) or not any(key.startswith("toolgate/") for key in meta):
        return result
    return {**result, "_meta": {key: value for key, value in meta.items() if not key.startswith("toolgate/")}}


def _is_question(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("params") or {}, Mapping)


def _questions(call: Call, result: Result) -> Questions:
    """The questions of an `input_required` result. Raises Garbled when they are none."""
    questions = result.get("inputRequests") or {}
    if not isinstance(questions, Mapping) or not all(_is_question(each) for each in questions.values()):
        raise garbled(call.server)
    if not questions and not isinstance(result.get("requestState"), str):
        raise garbled(call.server)  # nothing to answer and nothing to go on with: sending it again would be a repeat
    return questions


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


async def _asked(peer: Peer, questions: Questions, result: Result) -> dict[str, Any]:
    """Ask a legacy client what a modern upstream wants to know; the fields of the next attempt."""
    answers = {}
    for name, question in questions.items():
        method, params = str(question.get("method")), dict(question.get("params") or {})
        if named(method, params) == _BY_URL:  # the legacy era wants an id, the modern has none
            params.setdefault("elicitationId", secrets.token_urlsafe(12))
        answers[name] = await peer.ask(method, params)
    state = result.get("requestState")
    fields: dict[str, Any] = {"inputResponses": answers} if answers else {}
    return fields if state is None else {**fields, "requestState": state}


def stale() -> StaleState:
    return StaleState("Invalid or expired requestState: call again without it.")
