"""What the tests of the guard share: a call, and a look at a result."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

from gateway.call import Call, Content, Facts, Principal, Result, Silent, Tool
from gateway.rules.look import Findings
from gateway.rules.screen import Screen
from gateway.rules.secrets import Secrets

SECRET = "sk_live/Zx9+?&<q~7c1e"
LIMIT = 4096
NUMBERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

words = st.text(alphabet=string.ascii_letters + string.digits + " \n\t\"'\\{}[]<>é名🙂", max_size=80)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
"""JSON values without a secret, and without anything hidden."""
blocks = st.one_of(
    words.map(lambda text: {"type": "text", "text": text}),
    words.map(lambda text: {"type": "resource", "resource": {"uri": "a:b", "text": text}}),
    words.map(lambda text: {"type": "resource_link", "uri": "a:b", "name": text}),
    st.just({"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}),
)
results = st.fixed_dictionaries(
    {"content": st.lists(blocks, max_size=5)},
    optional={
        "structuredContent": st.dictionaries(words, values, max_size=4),
        "isError": st.booleans(),
        "x-own": values,
    },
)


def call(method: str = "tools/call", *, content: Content = "trusted", schema: Any = None, **fields: Any) -> Call:
    facts = Facts(content=content, secrets=fields.pop("secrets", frozenset()))
    definition = {"name": "look", "inputSchema": {"type": "object"}}
    if schema is not None:
        definition["outputSchema"] = schema
    tool = Tool("shop", "look", definition, facts, lambda arguments: None) if method == "tools/call" else None
    given: dict[str, Any] = {
        "id": "c1",
        "principal": Principal("ada", "t1"),
        "server": "shop",
        "tool": "look",
        "arguments": {},
        "peer": Silent(),
        "era": "modern",
        "method": method,
        "definition": tool,
    }
    return Call(**{**given, **fields})


def looked_at(result: Result, made: Call | None = None, *, limit: int = LIMIT) -> tuple[Result, Findings]:
    """What leaves of a result, and what was found."""
    screen = Screen(made or call(), Secrets.of([SECRET]), limit)
    return screen.result(result), screen.findings


def said(text: str, **more: Any) -> Result:
    return {"content": [{"type": "text", "text": text}], **more}
