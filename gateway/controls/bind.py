from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.call import Call, CallNext, Permit, Result
from gateway.errors import NoClaim

_CLAIM = "claims."


@dataclass(frozen=True, slots=True)
class Bind:
    """Fill in the arguments that the matched rule binds: to constants, or to claims of the caller's token."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        permit = call.permit
        if permit is None or not permit.bind:
            return await call_next(call)
        filled = dict(_filled(call, permit))
        return await call_next(replace(call, arguments={**call.arguments, **filled}))


def _filled(call: Call, permit: Permit) -> Iterator[tuple[str, Any]]:
    claims = call.principal.claims
    for name, source in permit.bind.items():
        if isinstance(source, Mapping):
            yield name, source["const"]
        elif (claim := source.removeprefix(_CLAIM)) in claims:
            yield name, claims[claim]
        else:
            raise NoClaim(
                f"The gateway fills in {name!r} of {call.name} from the caller's token, and this token does not say "
                "what it is. Nothing was run. Go on without this tool, and report that the token lacks a claim.",
                detail=source,
            )
