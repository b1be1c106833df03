"""How sure a caller is, and why: two arguments that the gateway adds to tools with a confidence gate, and takes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.call import Call
from gateway.rules.unicode import strip
from gateway.terms import Gate

CONFIDENCE, REASON = "_confidence", "_reason"
_CONFIDENCE_KEY, _REASON_KEY = "toolgate/confidence", "toolgate/reason"
_LONGEST = 4000

_PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    CONFIDENCE: {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": (
            "How sure you are that this call is right, with exactly these arguments: 0 is a guess, 1 is certain. Be "
            "honest: below a threshold a person looks at the call before it runs."
        ),
    },
    REASON: {
        "type": "string",
        "maxLength": _LONGEST,
        "description": (
            "Why you make this call, in one or two sentences, for the person who may have to decide on it: what it is "
            "based on, and what you are not sure of."
        ),
    },
}


def added(gates: Iterable[Gate], schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments that the gateway adds to a tool with these gates; `schema` is the tool's own."""
    if not any(gate.type == "confidence" for gate in gates):
        return ()
    own = schema.get("properties")
    return tuple(name for name in _PROPERTIES if not (isinstance(own, Mapping) and name in own))


def shown(schema: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """The input schema with these arguments in it."""
    extra = {name: _PROPERTIES[name] for name in names}
    if not extra:
        return schema
    needed = [name for name in extra if name == CONFIDENCE]
    properties = {**schema.get("properties", {}), **extra}
    return {**schema, "properties": properties, "required": [*schema.get("required", []), *needed]}


def speaks(call: Call) -> bool:
    """Whether the call may say how sure its caller is, or why it is made."""
    return not {CONFIDENCE, REASON}.isdisjoint(call.arguments) or not {_CONFIDENCE_KEY, _REASON_KEY}.isdisjoint(
        call.meta
    )


def heard(call: Call, names: Iterable[str]) -> Call:
    """The call without those of its arguments that the gateway added, and what it says by them or in `_meta`.

    A confidence that is no number from 0 to 1 is none.
    """
    said = {name: call.arguments[name] for name in names if name in call.arguments}
    if said:
        left = {name: value for name, value in call.arguments.items() if name not in said}
        call = replace(call, arguments=left, given=left)
    if (confidence := call.meta.get(_CONFIDENCE_KEY, said.get(CONFIDENCE))) is not None:
        call = replace(call, confidence=share(confidence))
    if isinstance(reason := call.meta.get(_REASON_KEY, said.get(REASON)), str):
        call = replace(call, statement=strip(reason)[:_LONGEST])
    return call


def share(value: Any) -> float:
    """A confidence as it counts: one that is no number from 0 to 1 is 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= 1 else 0.0
