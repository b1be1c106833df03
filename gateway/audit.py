"""What the gateway writes down: one event before a call's effect, one after it, one per refusal, and what it decides.

| kind    | written                                   | data                                        |
|---------|-------------------------------------------|---------------------------------------------|
| intent  | before a call is sent, durable before it is | arguments, rule, policy digest, token, ticket, spends, words |
| outcome | after it, durable before the reply        | outcome, milliseconds, result (digest, preview), spends |
| settled | when a reviewer says whether a call of unknown outcome ran | verdict, by whom, in which words |
| refusal | when a call is refused before its intent  | arguments, detail, token, words |
| guard   | when there is something about what leaves, durable before the reply | what was found, digest of what left |
| ticket  | when a ticket is opened or changes, with the change | what was done, its state, what it is bound to |
| decision | when a reviewer decides, with the ticket | reviewer, verdict, words, arguments before and after an edit |
| notice  | when a notice of a ticket is given up     | which, of what, why                         |
| gap     | once events can be written again          | what kept them from it, and since when      |
| start   | before a gateway serves                   | version, digests of configuration and policy |
| stop    | when it is told to end, after its last call | which start it ends                       |
| policy  | before a policy comes into force          | its digest, that of the one before          |
| reload  | when a changed policy folder has problems | how many, the first of them                 |
| mode    | when read-only mode is switched           | on or off, by whom; no agent: the whole gateway |
| pin     | when a tool's definition is pinned, withheld, restored or accepted | which, its digest, why, by whom |
| reviewer | when a reviewer's token is created or revoked | which of the two, id, name, when it expires |
| token   | when an agent's token is created or revoked    | which of the two, id, when it expires     |
| login   | when a reviewer signs in to the console or out | which of the two, name, token              |
| run     | when a run changes state, with the change | which, why; how many of its steps wait for people |
| undo    | when a step of a run waits for people, or they decided | why, which ticket, attempts       |
| checkpoint | when one was written, could not be, or found the log altered | its number and digest, or where and what |
| key     | when the key that signs checkpoints is replaced | both ids, by whom                     |
| archived | before old events are dropped            | the file they are in, where chains begin now |

An intent without an outcome means the gateway died in between, or could not write: whether the tool ran is unknown.
The next start writes that outcome, with the reason `crashed`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, func, select, true

from gateway.call import Call, Result
from gateway.confidence import heard, speaks
from gateway.errors import Refused
from gateway.events import EventRow, event_row
from gateway.store import Store
from gateway.tables import events

Shown = Callable[[Call, Result], Mapping[str, Any]]
"""What an event holds of a result; no secret is in it."""

Outcome = Literal["ok", "tool_error", "input_required", "failed", "unknown"]
"""How a call ended. `failed`: it certainly had no effect. `unknown`: it may have had one."""

SPENT: Mapping[Outcome, str] = {
    "ok": "committed",
    "tool_error": "limits_committed",
    "input_required": "released",
    "failed": "released",
    "unknown": "kept",
}
"""What becomes of limits and budgets that a call reserved, by how it ended; see `gateway.ledger`."""

_NAME_LIMIT = 256
_ARGUMENT_LIMIT = 65_536
_PROBLEMS = 10
"""Problems of a policy folder that are told in one event."""
_RECENT = 100_000
"""Events that are looked at for calls without outcome: far more than can be under way at once."""
_AT_ONCE = 500
"""Values in one statement: every SQLite takes 999."""


def nothing(call: Call, result: Result) -> Mapping[str, Any]:
    """Keep no more of a result than its digest."""
    return {}


@dataclass(frozen=True, slots=True)
class Past:
    """A call that was made or refused. `outcome` is an Outcome, `refused`, or None while there is none; `reason` says
    why it was refused or failed.
    """

    call: str
    at: float
    server: str
    tool: str
    outcome: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Writes events. `secret` keys the HMAC that stands for secret argument values; `shown` is what an outcome event
    holds of a result besides its digest.
    """

    store: Store
    secret: bytes
    clock: Callable[[], float] = time.time
    shown: Shown = nothing

    def intent(self, call: Call) -> asyncio.Future[None]:
        return self.store.append(self.intent_row(call, self.redacted(call)))

    def intent_row(self, call: Call, arguments: Any) -> EventRow:
        """`arguments` as `redacted` gives them."""
        assert call.permit is not None
        data = {
            "token": call.principal.token,
            "era": call.era,
            "key": call.key,
            "rule": call.permit.rule,
            "policy": call.permit.policy,
            "arguments": arguments,
            **_asked(call),
            **_signals(call.signals),
        }
        if call.permit.bind:
            data["bound"] = sorted(call.permit.bind)
        if not call.idempotent:
            data["once"] = True
        if call.ticket is not None:
            data["ticket"] = call.ticket
        if call.spends:
            data["spends"] = [[spend.account, spend.window, spend.amount] for spend in call.spends]
        return self._row("intent", call, None, data | _shadow(call.permit.shadow))

    def outcome_row(
        self, call: Call, outcome: Outcome, *, seconds: float, result: Result | None, reason: str | None
    ) -> EventRow:
        digest = None if result is None else _digest(result)
        data: dict[str, Any] = {"outcome": outcome, "ms": round(seconds * 1000, 3), "result": digest}
        if digest is not None and result is not None:
            data |= self.shown(call, result)
        if call.spends:
            data["spends"] = SPENT[outcome]
        return self._row("outcome", call, reason, data)

    def refusal(self, call: Call, refused: Refused) -> asyncio.Future[None]:
        data = {
            "token": call.principal.token,
            "era": call.era,
            "detail": refused.detail,
            "arguments": self.redacted(call),
            **_asked(heard(call, ()) if speaks(call) else call),
            **_signals(refused.signals),
        }
        return self.store.append(self._row("refusal", call, refused.reason, data | _shadow(refused.shadow)))

    def policy(self, digest: str, previous: str | None) -> asyncio.Future[None]:
        """`previous` is None at the start."""
        return self.store.append(event_row(self.clock(), "policy", {"digest": digest, "previous": previous}))

    def started(self, told: Mapping[str, Any]) -> asyncio.Future[None]:
        """`told` is which gateway this is: version, digests of configuration and policy, its owner id."""
        return self.store.append(event_row(self.clock(), "start", told))

    def stopped(self, owner: str) -> asyncio.Future[None]:
        return self.store.append(event_row(self.clock(), "stop", {"owner": owner}))

    def not_reloaded(self, problems: Sequence[str]) -> asyncio.Future[None]:
        """Problems of a policy folder that was to come into force."""
        told = {"problems": len(problems), "first": list(problems[:_PROBLEMS])}
        return self.store.append(event_row(self.clock(), "reload", told))

    def guard(self, call: Call, found: Mapping[str, Any], result: Result | None) -> asyncio.Future[None]:
        """`found` is what was done to an answer, `result` the answer that leaves, None for an error."""
        told = {**found, "result": None if result is None else _digest(result)}
        return self.store.append(self._row("guard", call, None, told))

    def last_calls(self, agent: str, limit: int) -> list[Past]:
        """What this agent did lately, newest first."""
        recent = events.c.seq > select(func.max(events.c.seq) - _RECENT).scalar_subquery()
        told = (events.c.agent == agent) & events.c.kind.in_(["intent", "outcome", "refusal"])
        # A call has at most two of them.
        rows = self.store.read(select(events).where(recent, told).order_by(events.c.seq.desc()).limit(2 * limit))
        calls: dict[str, Past] = {}
        for row in rows:
            if row.kind == "intent" and row.call in calls:
                calls[row.call] = replace(calls[row.call], at=row.at)
                continue
            outcome = {"intent": None, "refusal": "refused"}.get(row.kind, "")
            outcome = orjson.loads(row.data)["outcome"] if outcome == "" else outcome
            calls[row.call] = Past(row.call, row.at, row.server, row.tool, outcome, row.reason)
        return list(calls.values())[:limit]

    def _row(self, kind: str, call: Call, reason: str | None, data: Mapping[str, Any]) -> EventRow:
        if (trace := call.trace) is not None:
            data = {**data, "trace": trace}
        agent, name = call.principal.agent, short_name(call.tool)
        return (self.clock(), kind, call.id, agent, call.server, name, call.run, reason, orjson.dumps(data).decode())

    def redacted(self, call: Call) -> Any:
        """The arguments with secret values replaced by an HMAC; oversize ones by their size and HMAC.

        So are those of a tool that is not known: nobody can tell which of them are secret.
        """
        unknown = call.action == "call" and call.definition is None
        secrets = call.definition.facts.secrets if call.definition is not None else frozenset()
        arguments = dict(call.arguments)
        for name in secrets & arguments.keys():
            arguments[name] = self._mac(orjson.dumps(arguments[name], option=orjson.OPT_SORT_KEYS))
        plain = orjson.dumps(arguments)
        if unknown or len(plain) > _ARGUMENT_LIMIT:
            return {"bytes": len(plain), "digest": self._mac(plain)}
        return orjson.Fragment(plain)

    def _mac(self, value: bytes) -> str:
        return "hmac:" + hmac.new(self.secret, value, hashlib.sha256).hexdigest()


def unfinished(connection: Connection, chain: str | None = None) -> Sequence[Row[Any]]:
    """Intent events of recent calls that have no outcome, oldest first; of one chain, where there are several, but an
    outcome may stand in any. What runs now is among them. It may take a second.
    """
    of, place = (true(), events.c.seq) if chain is None else (events.c.chain == chain, events.c.n)
    recent = place > select(func.max(place) - _RECENT).where(of).scalar_subquery()
    told = of & recent & events.c.kind.in_(["intent", "outcome"])
    # One pass, and by the index of the chain: where there are several, the log is as long as all of them.
    only_begun = func.max(events.c.kind) == "intent"
    begun = select(func.min(events.c.seq)).where(told).group_by(events.c.call).having(only_begun)
    places = sorted(connection.execute(begun).scalars())
    rows: list[Row[Any]] = []
    for start in range(0, len(places), _AT_ONCE):
        these = places[start : start + _AT_ONCE]
        rows += connection.execute(select(events).where(events.c.seq.in_(these)).order_by(events.c.seq))
    if chain is None or not rows:
        return rows
    # Who recovered them, or finds out later what became of them, may have another chain.
    since = (events.c.seq > rows[0].seq) & (events.c.kind == "outcome")
    known: set[str] = set()
    for start in range(0, len(rows), _AT_ONCE):
        these = [row.call for row in rows[start : start + _AT_ONCE]]
        known.update(connection.execute(select(events.c.call).where(since, events.c.call.in_(these))).scalars())
    return [row for row in rows if row.call not in known]


def ended(connection: Connection, ids: Collection[str]) -> list[str]:
    """Those of these recent calls whose outcome is in the log, and is known."""
    recent = events.c.seq > select(func.max(events.c.seq) - _RECENT).scalar_subquery()
    of = select(events.c.call, events.c.data).where(recent, events.c.kind == "outcome", events.c.call.in_(ids))
    return [row.call for row in connection.execute(of) if orjson.loads(row.data)["outcome"] != "unknown"]


def _shadow(rule: str | None) -> dict[str, Any]:
    """The policy rule in shadow that would have decided otherwise, on the few events that have one."""
    return {} if rule is None else {"shadow": rule}


def _asked(call: Call) -> dict[str, Any]:
    """What else a decision depends on, or is understood by: the action unless it is a call of a tool, how sure the
    caller was, and why it made the call, in its own words.
    """
    told: dict[str, Any] = {} if call.action == "call" else {"action": call.action}
    if call.confidence:
        told["confidence"] = call.confidence
    if call.statement is not None:
        told["statement"] = call.statement
    return told


def _signals(found: tuple[str, ...]) -> dict[str, Any]:
    return {"signals": found} if found else {}


def _digest(result: Result) -> str | None:
    """SHA-256 of a result; None for one that is nested too deep to be written, which must not cost the event."""
    try:
        return hashlib.sha256(orjson.dumps(result)).hexdigest()
    except TypeError:
        return None


def short_name(name: str) -> str:
    """A name as it is stored: on one line, whole, or cut and told apart by its digest."""
    shown = name if name.isprintable() else name.encode("unicode_escape").decode()
    if len(shown) <= _NAME_LIMIT:
        return shown
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{shown[: _NAME_LIMIT - len(digest) - 1]}#{digest}"
