"""What a rule asks of a call that it allows: whose consent, how often, for how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

GateType = Literal["approval", "confidence", "escalation"]
Period = Literal["second", "minute", "hour", "day", "run"]

SECONDS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Tier:
    """Reviewers who are asked together; after `after` seconds without a decision the next tier is asked too."""

    reviewers: tuple[str, ...]
    after: float | None


@dataclass(frozen=True, slots=True)
class Gate:
    """`applies` tells from the arguments whether it stands. `threshold` is of a confidence gate, `expires` in seconds,
    None where the configuration decides. Without `tiers` any reviewer may decide.
    """

    type: GateType
    applies: Callable[[Mapping[str, Any]], bool]
    threshold: float = 1.0
    approvers: int = 1
    expires: float | None = None
    tiers: tuple[Tier, ...] = ()
    words: str | None = None

    def stands(self, arguments: Mapping[str, Any], confidence: float) -> bool:
        """Whether a call with these arguments, made with this confidence (0 to 1), needs consent."""
        return self.applies(arguments) and (self.type != "confidence" or confidence < self.threshold)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` calls of a tool per `period`."""

    count: int
    period: Period


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `maximum` per `period`, summed over the argument `argument`, in whole minor units.

    `currency` is a currency (three capitals): calls in another one are refused; or the argument that names it: each
    currency then has a budget of its own; or None.
    """

    argument: str
    maximum: int
    period: Period
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What one rule asks. `object` is what the rule names, as written: its budgets are of that, for each agent."""

    object: str = ""
    gate: Gate | None = None
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What an agent's file says for all of it. `rate` is requests a second with a burst of twice that, at least one.

    `calls` and `seconds` are of one run. None where nothing is said.
    """

    rate: float | None = None
    calls: int | None = None
    seconds: float | None = None

    @property
    def of_runs(self) -> bool:
        """Whether they bound runs."""
        return self.calls is not None or self.seconds is not None


NO_CEILINGS = Ceilings()


@dataclass(frozen=True, slots=True)
class Spend:
    """What one call takes of one limit or budget: `amount` of `maximum`, in `window`, which ends at `ends`
    (seconds since the epoch, None for a run's). `what` says in words what it is, for a refusal.
    """

    kind: Literal["limit", "budget"]
    account: str
    window: str
    amount: int
    maximum: int
    ends: float | None
    what: str
