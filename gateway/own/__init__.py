"""The gateway's own tools: offered, authorized and recorded like any other, under the server name `toolgate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Facts
from gateway.own import await_approval, escalate, mark_run, rollback
from gateway.own.tools import OwnTool, OwnTools, answer

_MODULES = (await_approval, escalate, rollback, mark_run)

DEFINITIONS: Mapping[str, Mapping[str, Any]] = {str(each.DEFINITION["name"]): each.DEFINITION for each in _MODULES}
"""What is published of each, by name: known without a gateway that runs them."""

FACTS: Mapping[str, Facts] = {str(each.DEFINITION["name"]): each.FACTS for each in _MODULES}

SCHEMAS: Mapping[str, Mapping[str, Any]] = {name: each["inputSchema"] for name, each in DEFINITIONS.items()}

__all__ = ["DEFINITIONS", "FACTS", "SCHEMAS", "OwnTool", "OwnTools", "answer"]
