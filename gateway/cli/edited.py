"""Whether a call with arguments that a reviewer put in place of the agent's would run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from gateway import policy
from gateway.approvals import Ticket
from gateway.catalog import checker
from gateway.config import Config, outline
from gateway.pins import Pins
from gateway.policy.grant import ADVICE
from gateway.state import State


def unfit(ticket: Ticket, edited: Mapping[str, Any], opened: State, config: Config) -> str | None:
    """Why the agent's policy or the tool would not take these arguments. Both are asked again when the call runs."""
    _, servers = outline(config.path, os.environ)
    decision = policy.load(config.policies_dir, servers).decide(
        ticket.agent, ticket.server, ticket.tool, "call", edited
    )
    if not decision.allowed:
        return f"{ticket.agent} is refused this: {decision.text.removesuffix(ADVICE).strip()}"
    problem = _misfit(ticket, edited, opened)
    return None if problem is None else f"the tool does not take these arguments: {problem}"


def _misfit(ticket: Ticket, edited: Mapping[str, Any], opened: State) -> str | None:
    """What of the arguments does not fit the schema of the tool, as far as it is pinned."""
    pins = Pins(opened.store)
    try:
        rows = [row for row in pins.rows() if (row.pin.server, row.pin.tool) == (ticket.server, ticket.tool)]
    finally:
        pins.close()
    definition = rows[0].definition if rows else None
    if definition is None:
        return None
    return checker(json.loads(definition).get("inputSchema", {}))({**edited, **ticket.bound})
