"""Every way the gateway says no, in one tree.

    ToolgateError
    ├── ConfigError                 configuration or policy files are wrong; carries every problem found
    └── Refused                     a request is not answered by its tool; has a stable `reason`
        ├── Unauthenticated         no token, or one that is not valid
        ├── Throttled               the agent asks too often
        ├── NotFound                no such tool, resource or prompt, or one this agent may not see
        ├── Denied                  policy does not allow this call
        ├── NoClaim                 the token lacks a claim from which the policy fills in an argument
        ├── InvalidArguments        arguments do not fit the tool's schema
        ├── UnsafeArguments         an argument is not what it is declared to be, or hides something
        ├── ReadOnly                the agent, or the whole gateway, is in read-only mode
        ├── KeyConflict             the idempotency key was used for another call
        ├── OutcomeUnknown          made under this key before, and nobody knows whether it ran
        ├── InFlight                made under this key, and still under way in another process
        ├── TooManyPending          so many tickets of the agent wait for people that it can open no more
        ├── Rejected                a reviewer said no
        ├── TicketUnknown           no such ticket of this agent
        ├── TicketVoid              a ticket that cannot be used for this call
        │   ├── TicketExpired       nobody decided in time, or it was not used in time
        │   ├── TicketUsed          it was used already, and what came of it is not kept
        │   ├── PolicyChanged       the agent's policy is another than when it was opened
        │   ├── SchemaChanged       the tool is another
        │   └── ArgumentsChanged    the arguments are others than those decided on
        ├── LimitExceeded           the tool was called too often in this window
        ├── BudgetExceeded          the sum over an argument would be too large in this window
        ├── RunExhausted            the run has used up its calls or its time
        ├── RunClosed               the run is over, or being undone
        ├── StaleState              a `requestState` not given to this agent for this call, or over by now
        ├── Unbridgeable            client and upstream speak eras that cannot carry this exchange
        ├── NoCredential            no secret is configured for this agent at this upstream
        ├── Busy                    the upstream's bulkhead is full
        ├── CircuitOpen             the upstream failed lately and rests
        ├── DeadlineExceeded        no answer in time; whether the tool ran is not known
        ├── Unrecorded              the audit log cannot be written, so nothing may run
        ├── Unexpected              a defect of the gateway itself; nothing of it is told
        └── UpstreamFailed          the upstream did not answer properly
            ├── Unreachable         nothing was sent: the tool did not run
            ├── Interrupted         sent, then no whole answer: whether the tool ran is not known
            ├── Garbled             an answer came that is not MCP: whether the tool ran is not known
            └── UpstreamError       the upstream answered with a JSON-RPC error

A refusal's text is for a model: what was refused, why in one sentence, what to do instead. It never
holds a secret, a stack, an exception's text, or the name of anything the agent may not see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


class ToolgateError(Exception):
    """Root of all errors raised on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in the operator's files: where, what and how to mend it."""

    file: str
    key: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}. Fix: {self.fix}"


class ConfigError(ToolgateError):
    """The operator's files are wrong. `problems` lists everything found, not the first thing only."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Refused(ToolgateError):
    """A request is not answered by its tool. `str()` is the text for the model.

    `reason` is stable: logs, metrics, events and clients key on it. `ran` is False when the tool
    certainly did not run, None when that is not known. `retry_after` is in seconds. `detail` is for the
    audit log only, and so are `shadow`, the policy rule in shadow that would have decided otherwise, and `signals`,
    what the arguments look like. `recorded`: an outcome event tells of it already.
    """

    reason: ClassVar[str] = "refused"
    ran: ClassVar[bool | None] = False

    def __init__(
        self, text: str, *, retry_after: float | None = None, detail: str | None = None, shadow: str | None = None
    ) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.detail = detail
        self.shadow = shadow
        self.recorded = False
        self.signals: tuple[str, ...] = ()


class Unauthenticated(Refused):
    reason = "unauthenticated"


class Throttled(Refused):
    reason = "throttled"


class NotFound(Refused):
    reason = "not_found"


class Denied(Refused):
    reason = "denied"


class NoClaim(Refused):
    reason = "no_claim"


class InvalidArguments(Refused):
    reason = "invalid_arguments"


class UnsafeArguments(Refused):
    reason = "unsafe_arguments"


class ReadOnly(Refused):
    reason = "read_only"


class KeyConflict(Refused):
    reason = "key_conflict"


class OutcomeUnknown(Refused):
    reason = "outcome_unknown"
    ran = None


class InFlight(Refused):
    reason = "in_flight"
    ran = None


class TooManyPending(Refused):
    reason = "too_many_pending"


class Rejected(Refused):
    reason = "rejected"


class TicketUnknown(Refused):
    reason = "ticket_unknown"


class TicketVoid(Refused):
    reason = "ticket_void"


class TicketExpired(TicketVoid):
    reason = "ticket_expired"


class TicketUsed(TicketVoid):
    reason = "ticket_used"


class PolicyChanged(TicketVoid):
    reason = "policy_changed"


class SchemaChanged(TicketVoid):
    reason = "schema_changed"


class ArgumentsChanged(TicketVoid):
    reason = "arguments_changed"


class LimitExceeded(Refused):
    reason = "limit_exceeded"


class BudgetExceeded(Refused):
    reason = "budget_exceeded"


class RunExhausted(Refused):
    reason = "run_exhausted"


class RunClosed(Refused):
    reason = "run_closed"


class StaleState(Refused):
    reason = "stale_state"


class Unbridgeable(Refused):
    reason = "unbridgeable"
    ran = None


class NoCredential(Refused):
    reason = "no_credential"


class Busy(Refused):
    reason = "busy"


class CircuitOpen(Refused):
    reason = "circuit_open"


class DeadlineExceeded(Refused):
    reason = "deadline_exceeded"
    ran = None


class Unrecorded(Refused):
    reason = "unrecorded"


class Unexpected(Refused):
    reason = "unexpected"
    ran = None


class UpstreamFailed(Refused):
    """The upstream did not answer properly. Counted by the circuit breaker unless `answered`."""

    reason = "upstream_failed"
    ran: ClassVar[bool | None] = None
    answered: ClassVar[bool] = False


class Unreachable(UpstreamFailed):
    reason = "upstream_unreachable"
    ran = False


class Interrupted(UpstreamFailed):
    reason = "upstream_interrupted"


class Garbled(UpstreamFailed):
    reason = "upstream_garbled"


class UpstreamError(UpstreamFailed):
    """The upstream answered with a JSON-RPC error: `code`, `message` and `data` as it sent them.

    The message is the upstream's word, not ours: it is relayed only where the protocol needs it.
    """

    reason = "upstream_error"
    answered = True

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__("The tool server answered with an error.")
        self.code = code
        self.message = message
        self.data = data
