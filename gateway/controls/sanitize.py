from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.call import Call, CallNext, Result, Tool
from gateway.errors import Denied, Refused, UnsafeArguments
from gateway.metrics import Metrics
from gateway.policy import Policy
from gateway.rules.signals import signals
from gateway.rules.text import check_text

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Sanitize:
    """Check each argument by its declared kind, and send on the plain form that was judged.

    What is not declared is text. Prompts, completions and resource URIs are text too. An argument that changes with
    it is judged by the policy again: a rule about `reports/` is about where a path leads, not how it is spelled.
    """

    policy: Callable[[], Policy]
    metrics: Metrics

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        tool = call.definition
        if tool is None:
            _check_plain(call)
            return await call_next(call)
        arguments = {name: _checked(call, tool, name, value) for name, value in call.arguments.items()}
        if arguments != call.arguments:
            call = replace(call, arguments=arguments)
            self._check_rule(call)
        found = self._signals(call, tool)
        if not found:
            return await call_next(call)
        try:
            if tool.facts.signals == "refuse":
                raise UnsafeArguments(
                    f"The arguments of {call.name} must not look like {' or '.join(found)}, and one does. "
                    "Nothing was run; say it in plain words, or report that this tool does not take such text."
                )
            return await call_next(replace(call, signals=found))
        except Refused as refused:
            refused.signals = found
            raise

    def _check_rule(self, call: Call) -> None:
        """Raises Denied when the policy says something else about the arguments than about what they came from."""
        assert call.permit is not None
        # What the gateway filled in stays out of it: a rule that binds an argument holds where it is left out.
        given = {name: value for name, value in call.arguments.items() if name not in call.permit.bind}
        decision = self.policy().decide(call.principal.agent, call.server, call.tool, call.action, given)
        if not decision.allowed or decision.rule != call.permit.rule:
            raise Denied(
                f"Policy does not allow this call of {call.name} once its arguments are written plainly. Nothing was "
                "run; write paths, URLs and SQL in their plain form, or report that you cannot do this.",
                detail=decision.rule,
            )

    def _signals(self, call: Call, tool: Tool) -> tuple[str, ...]:
        texts = [value for name, value in call.arguments.items() if tool.rules.get(name, check_text) is check_text]
        found = tuple(sorted(signals(texts)))
        for signal in found:
            self.metrics.signals.labels(tool.server, tool.name, signal).inc()
        return found


def _checked(call: Call, tool: Tool, name: str, value: Any) -> Any:
    """One argument of a tool, as it is to be sent on. Raises UnsafeArguments."""
    rule = tool.rules.get(name)
    try:
        check_text(name)
        return check_text(value) if rule is None else rule(value)
    except ValueError as error:
        raise _unsafe(f"The argument {_shown(name)} of {call.name}", error, rule is not None) from None


def _check_plain(call: Call) -> None:
    """A prompt, completion or resource: all of it is text. Raises UnsafeArguments."""
    what = "The URI of the resource" if call.action == "read" else f"An argument of {call.name}"
    try:
        check_text(call.tool)
        check_text(dict(call.arguments))
    except ValueError as error:
        raise _unsafe(what, error, False) from None


def _unsafe(what: str, error: ValueError, declared: bool) -> UnsafeArguments:
    advice = "correct it and call again" if declared else "remove it and call again"
    return UnsafeArguments(f"{what} {error}. Nothing was run; {advice}.", detail=str(error))


def _shown(name: str) -> str:
    return (
        repr(name)
        if len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable()
        else "(with a long or odd name)"
    )
