"""What is wrong with the evidence, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """`where` is an event as CHAIN/N, or FILE:LINE of checkpoints or archives; `what` is a sentence."""

    where: str
    what: str

    def told(self) -> dict[str, Any]:
        return {"where": self.where, "what": self.what}
