"""The values that travel through the gateway, and the one shape of everything that touches them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gateway.errors import Unbridgeable
from gateway.terms import NO_CEILINGS, NO_TERMS, Ceilings, Spend, Terms

Era = Literal["legacy", "modern"]
"""legacy: revisions up to 2025-11-25 (initialize, sessions). modern: 2026-07-28 (stateless)."""

Action = Literal["call", "read", "get"]
"""What policy decides on: calling a tool, reading a resource, getting a prompt."""

Signals = Literal["note", "refuse"]
"""What to do about a text argument that looks like SQL, shell or markup: write it down, or refuse the call."""

Content = Literal["trusted", "untrusted"]
"""Whether what a tool answers may speak to the model. Untrusted text is wrapped, so that it is told apart."""

OWN = "toolgate"
"""The server whose tools are the gateway's own. No upstream can be called so."""

ArgumentRule = Callable[[Any], Any]
"""Checks one argument by its declared kind: the value to send on, or ValueError with a reason for the model."""

Result = dict[str, Any]
"""An MCP result as it stands on the wire. Dicts, not models: unknown fields must pass untouched."""


TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""What `_meta.traceparent` looks like (W3C Trace Context); the first group is the id of the trace."""

PENDING = "toolgate/pending"
"""The key of `_meta` under which an answer names the ticket that its call waits for. No upstream can set it."""

STREAM_CLOSED = "toolgate/stream_closed"
"""A notification of our own, never on the wire: the upstream closed this request's stream and answers later."""


class Peer(Protocol):
    """The client of one request, as seen while that request runs."""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification on this request's stream; dropped when the client cannot take it."""

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        """Ask the client (elicitation, sampling, roots) and wait. Raises Unbridgeable if it cannot be asked."""


class Silent:
    """The peer of requests the gateway makes for itself: takes no notification, answers no question."""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        return None

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        raise Unbridgeable(f"{method} needs a client, and this request is the gateway's own.")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the agent a token was issued to, that token's id, and its claims. Comes from the token alone."""

    agent: str
    token: str
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the operator wrote into the token, by name: strings, numbers and booleans."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the operator declared about a tool. Annotations of the server itself are not trusted for this."""

    idempotent: bool = False
    timeout: float | None = None
    secrets: frozenset[str] = frozenset()
    signals: Signals = "note"
    content: Content = "trusted"
    read_only: bool = False
    """Whether it changes nothing anywhere; then it is idempotent too."""
    compensate: Compensation | None = None


@dataclass(frozen=True, slots=True)
class Compensation:
    """The tool of the same server that undoes a call. Values of `arguments` are literals, or paths
    `$.arguments.NAME` or `$.result.NAME` into the call that is undone.
    """

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of one upstream: its definition as published by the upstream, and how to check arguments."""

    server: str
    name: str
    definition: Mapping[str, Any]
    facts: Facts
    check: Callable[[Any], str | None]
    """Returns None when the arguments fit the input schema, else one line that says what does not."""
    mirrored: bool = False
    """Whether the schema has arguments mirrored in `Mcp-Param-*` headers."""
    rules: Mapping[str, ArgumentRule] = field(default_factory=dict)
    """How arguments of a declared kind are checked, by name; the others are text."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Proof that policy allows one call. Only `controls.authorize` makes one; the upstream asks for it."""

    rule: str
    policy: str
    bind: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that the gateway fills in, by name."""
    shadow: str | None = None
    """The rule in shadow that would have decided otherwise, if any."""
    terms: Terms = NO_TERMS
    """Whose consent the rule asks for, and what it limits."""
    ceilings: Ceilings = NO_CEILINGS
    """What bounds each run of the agent."""
    grant: str = ""
    """Digest of all that this agent may do: what an approval is bound to."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The secret of one agent at one upstream: headers (HTTP) or environment (stdio). Never shown."""

    id: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: of a tool, or of a resource or prompt, whose URI or name then stands in `tool`.

    Never mutated: controls hand on `dataclasses.replace(call, ...)`.
    """

    id: str
    principal: Principal
    server: str
    tool: str
    arguments: Mapping[str, Any]
    peer: Peer
    era: Era
    name: str = ""
    """The tool, resource or prompt as the caller named it; texts for the caller use it."""
    method: str = "tools/call"
    action: Action = "call"
    run: str | None = None
    key: str | None = None
    """Idempotency key: the agent's word that two calls with it are one."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The arguments as the caller gave them, before any were filled in or made plain."""
    confidence: float = 0.0
    """How sure the caller says it is, 0 to 1; 0 when it says nothing."""
    statement: str | None = None
    """Why it makes the call, in its own words."""
    ticket: str | None = None
    """The approved ticket that this call uses up. Only `controls.gate` believes it."""
    undoes: str | None = None
    """The id of the call that this one, the gateway's own, undoes."""
    spends: tuple[Spend, ...] = ()
    """What the call takes of limits and budgets, once it is sent."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    """`inputResponses` and `requestState` of a call that continues (modern era)."""
    definition: Tool | None = None
    permit: Permit | None = None
    signals: tuple[str, ...] = ()
    """What the arguments look like, for the log and the metrics."""
    credential: Credential | None = None
    timer: asyncio.Timeout | None = None
    """The running deadline, so that a control below can tell a time-out from a client that left."""

    @property
    def trace(self) -> str | None:
        """The id of the trace that it belongs to: 32 hex digits; None where its caller sends none, and none is made."""
        given = self.meta.get("traceparent")
        found = TRACEPARENT.fullmatch(given) if isinstance(given, str) else None
        return None if found is None else found[1]

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice does no more than sending it once: as declared, or because it is no tool's."""
        return self.action != "call" or (self.definition is not None and self.definition.facts.idempotent)

    @property
    def reads(self) -> bool:
        """Whether it changes nothing anywhere: as declared, or because it is no tool's."""
        return self.action != "call" or (self.definition is not None and self.definition.facts.read_only)


CallNext = Callable[[Call], Awaitable[Result]]


class Control(Protocol):
    """One step that wraps a call: observe, refuse (raise Refused), rewrite (replace), answer, or call again."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result: ...
