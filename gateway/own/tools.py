"""What a tool of the gateway's own is, and how a call of one is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.call import OWN, Call, Facts, Result
from gateway.catalog import Offer, compile_tools
from gateway.errors import Unexpected


@dataclass(frozen=True, slots=True)
class OwnTool:
    """`definition` is what is published; `run` answers a call that every control has let through, or raises Refused."""

    definition: Mapping[str, Any]
    run: Callable[[Call], Awaitable[Result]]
    facts: Facts = field(default_factory=lambda: Facts(idempotent=True, read_only=True))

    @property
    def name(self) -> str:
        return str(self.definition["name"])


class OwnTools:
    """The innermost step of calls whose server is `toolgate`."""

    def __init__(self, tools: Iterable[OwnTool]) -> None:
        self.by_name = {tool.name: tool for tool in tools}

    def offer(self) -> Offer:
        """Their part of the catalog: like that of an upstream that is always up."""
        definitions = [tool.definition for tool in self.by_name.values()]
        tools = compile_tools(OWN, definitions, lambda name: self.by_name[name].facts, lambda name: {})
        return Offer(OWN, up=True, era="modern", tools=tools)

    async def __call__(self, call: Call) -> Result:
        if call.permit is None or call.tool not in self.by_name:
            raise Unexpected("This call was not authorized, so nothing was done.")
        return await self.by_name[call.tool].run(call)


def answer(text: str, *, error: bool = False, **meta: Any) -> Result:
    """A result of one text; `meta` goes under `toolgate/`, which no upstream can set."""
    result: Result = {"content": [{"type": "text", "text": text}]}
    if error:
        result["isError"] = True
    return {**result, "_meta": {f"toolgate/{key}": value for key, value in meta.items()}} if meta else result
