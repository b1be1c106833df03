"""Who has been silent for too long, judged by nothing but what was seen and for how long it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_LONGEST = 2.0
"""Seconds that one look counts at most: in a longer gap the one who looks stood still itself, and maybe all did."""


@dataclass(slots=True)
class Watch:
    """`patience`: seconds of silence, of looks that followed each other, after which somebody counts as dead."""

    patience: float
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By owner, the beat that was seen last and the seconds for which it has not changed."""
    _looked: float | None = None

    def look(self, beats: Mapping[str, float], now: float) -> list[str]:
        """`beats` as they are at `now` (seconds, monotonic); those who are dead."""
        passed = 0.0 if self._looked is None else min(now - self._looked, _LONGEST)
        self._looked = now
        before, self._seen = self._seen, {}
        for owner, beat in beats.items():
            was, silent = before.get(owner, (None, 0.0))
            self._seen[owner] = (beat, silent + passed if was == beat else 0.0)
        return [owner for owner, (_, silent) in self._seen.items() if silent >= self.patience]

    def reset(self) -> None:
        """Nobody could be heard: all begin anew."""
        self._seen.clear()
        self._looked = None
