from __future__ import annotations

from dataclasses import dataclass

from gateway.call import Call, CallNext, Result
from gateway.errors import InvalidArguments


@dataclass(frozen=True, slots=True)
class Validate:
    """Refuse arguments that do not fit the tool's own input schema. The policy's `where` was judged before."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        if call.definition is not None:
            problem = call.definition.check(call.arguments)
            if problem is not None:
                raise InvalidArguments(
                    f"The arguments do not fit the input schema of {call.name}: {problem}. "
                    "Nothing was run; correct the arguments and call again."
                )
        return await call_next(call)
