from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway import confidence
from gateway.call import OWN, Call, CallNext, Permit, Result
from gateway.errors import Denied, NotFound, ReadOnly
from gateway.metrics import Metrics
from gateway.policy import Policy

_NOUN = {"call": "tool", "read": "resource", "get": "prompt"}


@dataclass(frozen=True, slots=True)
class Authorize:
    """Attach the permit of the rule that allows this call; refuse the call when no rule does, or in read-only mode.

    What an agent may not see and what does not exist get the same answer.
    """

    policy: Callable[[], Policy]
    metrics: Metrics
    read_only: Callable[[str], bool]
    """Whether an agent may only read now."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        policy, agent = self.policy(), call.principal.agent
        if confidence.speaks(call) and call.definition is not None:
            gates = policy.gates(agent, call.server, call.tool)
            call = confidence.heard(call, confidence.added(gates, call.definition.definition["inputSchema"]))
        arguments = call.arguments if call.action == "call" else None
        decision = policy.decide(agent, call.server, call.tool, call.action, arguments)
        if call.action == "call" and call.definition is None:
            raise NotFound(_absent(call), detail="no such tool")
        if decision.shadow is not None:
            would = "deny" if decision.allowed else "allow"
            self.metrics.shadow_disagreements.labels(agent, would).inc()
        if not decision.allowed or decision.rule is None:
            if not policy.visible(agent, call.server, call.tool, call.action):
                raise NotFound(_absent(call), detail="policy allows no such call", shadow=decision.shadow)
            raise Denied(decision.text, detail=decision.rule, shadow=decision.shadow)
        if self.read_only(agent) and _may_change(call):
            raise ReadOnly(_read_only(call), shadow=decision.shadow)
        permit = Permit(
            rule=decision.rule,
            policy=policy.digest,
            bind=decision.bind,
            shadow=decision.shadow,
            terms=decision.terms,
            ceilings=policy.ceilings(agent),
            grant=policy.digest_of(agent),
        )
        return await call_next(replace(call, permit=permit))


def _may_change(call: Call) -> bool:
    """Whether the call could change anything anywhere: it is of a tool that nobody declared to only read."""
    if call.definition is None or call.server == OWN:
        return False
    return not call.definition.facts.read_only


def _read_only(call: Call) -> str:
    return (
        f"Only tools that change nothing may be used by agent {call.principal.agent} for now, and {call.name[:160]!r} "
        "may change something. Nothing was run. Go on with tools that only read, or report that this has to wait until "
        "read-only mode is switched off."
    )


def _absent(call: Call) -> str:
    noun = _NOUN[call.action]
    return (
        f"There is no {noun} {call.name[:160]!r} that agent {call.principal.agent} may use here: it does not exist, "
        f"or policy does not allow it. Nothing was run. Use what the list of {noun}s offers, or report that you "
        "cannot do this."
    )
