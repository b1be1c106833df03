from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.call import Call, CallNext, Permit, Result
from gateway.errors import Denied, NotFound
from gateway.metrics import Metrics
from gateway.policy import Policy

_NOUN = {"call": "tool", "read": "resource", "get": "prompt"}


@dataclass(frozen=True, slots=True)
class Authorize:
    """Attach the permit of the rule that allows this call; refuse the call when no rule does.

    What an agent may not see and what does not exist get the same answer.
    """

    policy: Callable[[], Policy]
    metrics: Metrics

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        policy, agent = self.policy(), call.principal.agent
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


def _absent(call: Call) -> str:
    noun = _NOUN[call.action]
    return (
        f"There is no {noun} {call.name[:160]!r} that agent {call.principal.agent} may use here: it does not exist, "
        f"or policy does not allow it. Nothing was run. Use what the list of {noun}s offers, or report that you "
        "cannot do this."
    )
