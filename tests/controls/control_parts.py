"""What the tests of controls share: a call, a clock that is set by hand, and something to wrap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.approvals import Approvals
from gateway.audit import Audit
from gateway.call import Call, Facts, Permit, Principal, Result, Silent, Tool
from gateway.controls.intent import Intent
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.runs import Runs
from gateway.sealed import Vault
from gateway.settings import ApprovalSettings

OK: Result = {"content": []}


@dataclass
class Clock:
    """Seconds, as told."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def call(agent: str = "ada", server: str = "shop", *, idempotent: bool = False, **fields: Any) -> Call:
    facts = Facts(
        idempotent=idempotent, timeout=fields.pop("timeout", None), secrets=fields.pop("secrets", frozenset())
    )
    given: dict[str, Any] = {
        "id": "c1",
        "principal": Principal(agent, "t1"),
        "server": server,
        "tool": "note",
        "arguments": {},
        "peer": Silent(),
        "era": "modern",
        "definition": Tool(server, "note", {"name": "note"}, facts, lambda arguments: None),
        "permit": Permit("rule", "digest"),
    }
    return Call(**{**given, **fields})


def ledger(audit: Audit, owner: str = "me", keep: float = 60.0) -> Ledger:
    """The ledger of the store that these events go to."""
    store, vault, clock = audit.store, Vault(b"v" * 32), audit.clock
    approvals = Approvals(store, vault, ApprovalSettings(), clock)
    return Ledger(store, audit, vault, approvals, Runs(store, vault, clock), owner, keep, clock)


def recording(audit: Audit) -> Intent:
    return Intent(ledger(audit), Metrics())


@dataclass
class Below:
    """What a control wraps: answers or raises what it is told to, in order; then it answers OK."""

    script: list[Result | BaseException | Callable[[], Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, call: Call) -> Result:
        self.calls.append(call)
        step = self.script.pop(0) if self.script else OK
        if isinstance(step, BaseException):
            raise step
        return await step() if callable(step) else step


async def for_ever() -> Result:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")


async def begun(below: Below, count: int) -> None:
    """Let the loop turn until `below` has been reached `count` times."""
    for _ in range(100):
        if len(below.calls) >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"reached {len(below.calls)} times, not {count}")


def sample(metrics: Any, name: str, **labels: str) -> float:
    """The value of one metric; 0 when it was never set."""
    return float(metrics.registry.get_sample_value(name, labels) or 0.0)
