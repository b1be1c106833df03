"""The gateway's own tools: offered, authorized and recorded like any other, under the server name `toolgate`."""

from __future__ import annotations

from gateway.own.tools import OwnTool, OwnTools, answer

__all__ = ["OwnTool", "OwnTools", "answer"]
