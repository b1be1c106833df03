"""What undoes a call: the arguments of its compensation, found in the call's own and in what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from gateway.call import Call, Compensation, Result

_ARGUMENTS = "$.arguments."
_RESULT = "$.result."
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Plan:
    """`arguments` are those known, `later` paths into the answer by the argument they are for, `missing` paths that
    lead nowhere, `secret` the arguments whose values people may not see.
    """

    arguments: Mapping[str, Any]
    later: Mapping[str, str]
    missing: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()

    def filled(self, result: Result) -> Plan:
        """The plan once the call has answered: nothing is left for later."""
        answered = _answered(result)
        found = {name: _at(answered, path.removeprefix(_RESULT)) for name, path in self.later.items()}
        known = {name: value for name, value in found.items() if value is not _NOTHING}
        missing = tuple(self.later[name] for name in found if name not in known)
        return Plan({**self.arguments, **known}, {}, (*self.missing, *missing), self.secret)

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Plan:
        return cls(value["arguments"], value["later"], tuple(value["missing"]), tuple(value["secret"]))


def plan(call: Call, compensation: Compensation) -> Plan:
    """What is known of the compensation of a call before it is sent."""
    secrets = call.definition.facts.secrets if call.definition is not None else frozenset()
    arguments, later, missing, secret = {}, {}, [], []
    for name, value in compensation.arguments.items():
        if not isinstance(value, str) or not value.startswith("$"):
            arguments[name] = value
        elif value.startswith(_RESULT):
            later[name] = value
        elif (found := _at(call.arguments, value.removeprefix(_ARGUMENTS))) is not _NOTHING:
            arguments[name] = found
            if value.removeprefix(_ARGUMENTS).split(".")[0] in secrets:
                secret.append(name)
        else:
            missing.append(value)
    return Plan(arguments, later, tuple(missing), tuple(secret))


def _at(value: Any, path: str) -> Any:
    """What stands at a dotted path of names, or _NOTHING."""
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return _NOTHING
        value = value[name]
    return value


def _answered(result: Result) -> Any:
    """The structured content, else the JSON object in the first text."""
    if isinstance(structured := result.get("structuredContent"), Mapping):
        return structured
    content = result.get("content")
    texts = (part.get("text") for part in content if isinstance(part, Mapping)) if isinstance(content, list) else ()
    try:
        return orjson.loads(next((text for text in texts if isinstance(text, str)), "null"))
    except orjson.JSONDecodeError:
        return None
