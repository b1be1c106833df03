"""The order of controls, outermost first, and how they become one callable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.approvals import Approvals
from gateway.audit import Audit
from gateway.breakers import Breakers
from gateway.call import CallNext, Control
from gateway.config import Config
from gateway.controls.audit import RecordRefusals
from gateway.controls.authorize import Authorize
from gateway.controls.bind import Bind
from gateway.controls.breaker import Breaker
from gateway.controls.bulkhead import Bulkhead
from gateway.controls.credential import AttachCredential
from gateway.controls.deadline import Deadline
from gateway.controls.dedupe import Dedupe
from gateway.controls.gate import Gate
from gateway.controls.guard import Guard
from gateway.controls.intent import Intent
from gateway.controls.measure import Measure
from gateway.controls.reserve import Reserve
from gateway.controls.retry import Retry
from gateway.controls.sanitize import Sanitize
from gateway.controls.throttle import Throttle
from gateway.controls.validate import Validate
from gateway.credentials import Credentials
from gateway.ledger import Ledger
from gateway.logs import calls_told
from gateway.metrics import Metrics
from gateway.modes import Modes
from gateway.policy import Policy
from gateway.rules.secrets import Secrets

ORDER: tuple[tuple[str, type[Control], str], ...] = (
    ("measure", Measure, "sees every outcome"),
    ("audit", RecordRefusals, "refusals are evidence too"),
    ("throttle", Throttle, "cheapest refusal first: a flood never reaches the policy"),
    ("authorize", Authorize, "nothing below runs without a permit"),
    ("bind", Bind, "the policy has judged what the caller gave; validate sees the whole"),
    ("validate", Validate, "refuse before anything reads the arguments"),
    ("sanitize", Sanitize, "shape is known; what is sent on is what was judged"),
    ("dedupe", Dedupe, "never twice, not even through a human"),
    ("guard", Guard, "outside retry: looks once at what will leave"),
    ("gate", Gate, "humans see only calls that would otherwise run"),
    ("reserve", Reserve, "refused or pending calls burn nothing"),
    ("intent", Intent, "after a crash nothing that ran is unrecorded"),
    ("deadline", Deadline, "one deadline, whatever happens below"),
    ("retry", Retry, "outside the breaker: each attempt counts"),
    ("breaker", Breaker, "fail fast, probe after a rest"),
    ("bulkhead", Bulkhead, "one hanging server cannot take the gateway"),
    ("credential", AttachCredential, "innermost: nothing above ever holds a secret"),
)
"""Name, control and the reason it stands where it stands."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the controls need, made once by the application."""

    config: Config
    policy: Callable[[], Policy]
    audit: Audit
    credentials: Credentials
    metrics: Metrics
    throttle: Throttle
    secrets: Secrets
    approvals: Approvals
    ledger: Ledger
    modes: Modes
    breakers: Breakers | None = None


def describe() -> list[tuple[str, str]]:
    """(name, reason) of each control, outermost first."""
    return [(name, reason) for name, _, reason in ORDER]


def controls(parts: Parts) -> list[Control]:
    """One instance of each control, in order."""
    config, metrics = parts.config, parts.metrics
    breaker, retry = config.breaker, config.retry
    made: dict[type[Control], Control] = {
        Measure: Measure(metrics, calls_told(config.gateway.log_calls)),
        RecordRefusals: RecordRefusals(parts.audit),
        Throttle: parts.throttle,
        Authorize: Authorize(parts.policy, metrics, parts.modes.read_only),
        Bind: Bind(),
        Validate: Validate(),
        Sanitize: Sanitize(parts.policy, metrics),
        Dedupe: Dedupe(metrics),
        Guard: Guard(parts.secrets, config.gateway.max_result, parts.audit, metrics),
        Gate: Gate(parts.approvals, parts.policy),
        Reserve: Reserve(),
        Intent: Intent(parts.ledger, metrics),
        Deadline: Deadline(lambda server: config.server(server).timeout),
        Retry: Retry(retry.attempts, retry.base, retry.cap, retry.budget, metrics),
        Breaker: Breaker(breaker.window, breaker.failures, breaker.cooldown, metrics, others=parts.breakers),
        Bulkhead: Bulkhead(lambda server: config.server(server).max_concurrent),
        AttachCredential: AttachCredential(parts.credentials),
    }
    return [made[kind] for _, kind, _ in ORDER]


def inner(controls: Sequence[Control]) -> Sequence[Control]:
    """Those from intent inward, of all in order: what a call of the gateway's own goes through."""
    return controls[[name for name, _, _ in ORDER].index("intent") :]


def chain(controls: Sequence[Control], send: CallNext) -> CallNext:
    """Nest the controls around `send`, the first outermost."""
    call_next = send
    for control in reversed(controls):
        call_next = partial(control, call_next=call_next)
    return call_next
