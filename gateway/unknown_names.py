"""Names in the policy in force that no server offers: such a rule never matches, which somebody should know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial

from gateway.aside import aside
from gateway.metrics import Metrics
from gateway.policy import Policy, check_names
from gateway.policy.names import Offered, unchecked

log = logging.getLogger("toolgate.policy")


class UnknownNames:
    """Compares rules and catalog when `look` finds one of them changed, and tells each problem once."""

    def __init__(
        self, policy: Callable[[], Policy], offered: Callable[[], Offered], servers: Collection[str], metrics: Metrics
    ) -> None:
        self._policy = policy
        self._offered = offered
        self._servers = frozenset(servers)
        self._metrics = metrics
        self._looked: tuple[str, int] | None = None
        self._told: frozenset[str] = frozenset()

    async def look(self, version: int) -> None:
        """`version` grows whenever what servers offer may have changed."""
        policy = self._policy()
        if self._looked == (policy.digest, version):
            return
        self._looked = policy.digest, version
        offered = self._offered()
        unknown = await aside(partial(check_names, policy, offered))
        self._metrics.unknown_names.set(len(unknown))
        open_questions = unchecked(policy, self._servers - offered.keys())
        told = {str(problem): logging.ERROR for problem in unknown}
        told |= {str(problem): logging.WARNING for problem in open_questions}
        for line in told.keys() - self._told:
            log.log(told[line], "%s", line)
        self._told = frozenset(told)
