"""What a gateway would leave out, withhold or report of the listings that servers send now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.admission import Admissions
from gateway.cli.reach import Finding
from gateway.config import Config
from gateway.errors import Problem
from gateway.interpolate import dotted
from gateway.pins import Pin
from gateway.registration import suspicious


@dataclass(frozen=True, slots=True)
class _Seen:
    """Pins as a new gateway would make them, kept nowhere."""

    pins: dict[str, dict[str, Pin]] = field(default_factory=dict)

    def of(self, server: str) -> Mapping[str, Pin]:
        return self.pins.get(server, {})


def doubts(config: Config, findings: Sequence[Finding]) -> Iterator[Problem]:
    """One warning for each tool whose name will not do, and each entry whose text is suspicious."""
    seen = _Seen()
    for each in findings:
        admission = Admissions(seen, config.servers.keys()).judge(each.server, each.listing.tools)
        seen.pins[each.server] = {pin.tool: pin for pin, _ in admission.changes}
        place = config.path.name, dotted(("servers", each.server))
        for name, why in admission.refused.items():
            yield Problem(*place, f"tool {name!r} is not offered: {why}", "have it renamed or cut by who runs it")
        for name, why in admission.withheld.items():
            yield Problem(*place, f"tool {name} is not offered: {why}", f"toolgate pins accept {each.server}/{name}")
        for doubt in suspicious(each.listing):
            yield Problem(*place, doubt, "read the whole text before an agent does")
