"""Random rules and requests over a few names, so that they meet often: conditions, bindings and gates included."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Rules = list[tuple[str, dict[str, Any]]]

servers = st.sampled_from(["payment", "billing", "records"])
names = st.sampled_from(["get", "get_all", "get_any", "delete", "delete_all", "Get", "g", "other"])
server_patterns = servers | st.sampled_from(["*", "p*", "bill*"])
name_patterns = names | st.sampled_from(["*", "get*", "get_*", "delete_*"])

bounds = st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
amount_conditions = st.dictionaries(bounds, st.integers(0, 9), min_size=1, max_size=2)
unit_conditions = st.sampled_from(
    [
        {"enum": ["USD", "EUR"]},
        {"const": "USD"},
        {"pattern": "^[A-Z]{3}$"},
        {"maxLength": 3},
        {"not": {"enum": ["EUR"]}},
    ]
)
conditions = st.fixed_dictionaries({}, optional={"amount": amount_conditions, "unit": unit_conditions})
gates = st.sampled_from([{"type": "approval"}, {"type": "approval", "when": {"amount": {"minimum": 5}}}])


@st.composite
def rule_lists(draw: st.DrawFn, extras: bool = True) -> Rules:
    """Rules of one file, none twice, the first an allow. `extras`: some with `gate`, `bind` or `shadow`."""
    rules: Rules = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["tool", "tool", "tool", "resource", "prompt"]))
        rule: dict[str, Any] = {kind: f"{draw(server_patterns)}/{draw(name_patterns)}"}
        effect = draw(st.sampled_from(["allow", "allow", "deny"])) if rules else "allow"
        if kind == "tool" and (where := draw(conditions)):
            rule["where"] = where
        if extras and kind == "tool" and effect == "allow":
            rule |= draw(st.sampled_from([{}, {}, {"bind": {"customer": "claims.customer"}}]))
            rule |= draw(st.sampled_from([{}, {}, {"gate": draw(gates)}]))
        if extras and draw(st.integers(0, 5)) == 0:
            rule["shadow"] = True
        if (effect, rule) not in rules:
            rules.append((effect, rule))
    return rules


amounts = st.integers(-1, 10) | st.sampled_from([0.5, 4.5, 5.5, 9.5, True, None, "5", [5], {}])
units = st.sampled_from(["USD", "EUR", "GBP", "usd", "", "long", None, 5])
arguments = st.fixed_dictionaries({}, optional={"amount": amounts, "unit": units, "customer": st.just("c1")})
actions = st.sampled_from(["call", "call", "call", "read", "get"])
requests = st.tuples(servers, names, actions, arguments)
