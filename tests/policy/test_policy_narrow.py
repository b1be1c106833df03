"""The input schema an agent sees: cut down to its rules, never wider than the tool's own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.policy import Policy

Build = Callable[..., Policy]

AMOUNT = {"type": "integer", "minimum": 1, "description": "Minor units."}
TOOL = {
    "type": "object",
    "properties": {"amount": AMOUNT, "currency": {"type": "string"}, "note": {"type": "string"}},
    "required": ["amount"],
}


def narrowed(build: Build, schema: dict[str, Any], *wheres: dict[str, Any] | None) -> dict[str, Any]:
    rules = [("allow", {"tool": "payment/charge"} | ({"where": where} if where else {})) for where in wheres]
    return build(*rules).narrow("a", "payment", "charge", schema)


def test_a_limit_reads_next_to_the_type(build: Build) -> None:
    where = {"amount": {"maximum": 500}, "currency": {"enum": ["USD", "EUR"]}}
    schema = narrowed(build, TOOL, where)
    assert schema["properties"]["amount"] == AMOUNT | {"maximum": 500}
    assert schema["properties"]["currency"] == {"type": "string", "enum": ["USD", "EUR"]}
    assert schema["properties"]["note"] == {"type": "string"}
    assert schema["required"] == ["amount", "currency"]


def test_a_rule_without_a_condition_leaves_the_schema_as_it_is(build: Build) -> None:
    assert narrowed(build, TOOL, {"amount": {"maximum": 5}}, None) == TOOL


def test_the_tools_own_schema_is_never_changed(build: Build) -> None:
    before = copy.deepcopy(TOOL)
    schema = narrowed(build, TOOL, {"amount": {"maximum": 5}, "extra": {"const": 1}})
    assert schema != before == TOOL


@pytest.mark.parametrize(
    ("own", "where", "expected"),
    [
        ({"maximum": 100}, {"maximum": 500}, {"maximum": 100, "type": "number"}),
        ({"maximum": 1000}, {"maximum": 500}, {"maximum": 500, "type": "number"}),
        ({"type": "integer", "minimum": 5}, {"minimum": 1}, {"type": "integer", "minimum": 5}),
        (
            {"type": ["integer", "null"]},
            {"maximum": 5},
            {"type": ["integer", "null"], "maximum": 5, "allOf": [{"type": "number"}]},
        ),
        ({"type": ["number", "null"]}, {"type": "integer"}, {"type": "integer"}),
        (
            {"exclusiveMaximum": True, "maximum": 9},  # a flag in the oldest drafts
            {"exclusiveMaximum": 5},
            {"exclusiveMaximum": True, "maximum": 9, "type": "number", "allOf": [{"exclusiveMaximum": 5}]},
        ),
        ({"pattern": "^a"}, {"pattern": "b$"}, {"pattern": "^a", "type": "string", "allOf": [{"pattern": "b$"}]}),
        ({"const": {"a": 1, "b": 2}}, {"const": {"b": 2, "a": 1}}, {"const": {"b": 2, "a": 1}}),
        ({"const": {"b": 2, "a": 1}}, {"const": {"a": 1, "b": 2}}, {"const": {"a": 1, "b": 2}}),
        ({"type": ["string"]}, {"minLength": 1}, {"type": ["string"], "minLength": 1}),
        ({"enum": ["a"]}, {"enum": ["b"]}, {"enum": ["a"], "allOf": [{"enum": ["b"]}]}),
        ({"const": 1}, {"const": True}, {"const": 1, "allOf": [{"const": True}]}),
        ({"$ref": "#/$defs/M"}, {"const": 5}, {"allOf": [{"$ref": "#/$defs/M"}, {"const": 5}]}),
        (
            {"type": "object", "additionalProperties": False},
            {"properties": {"p": {}}},
            {"type": "object", "additionalProperties": False, "required": ["p"], "allOf": [{"properties": {"p": {}}}]},
        ),
        (True, {"const": 5}, {"const": 5}),
        (False, {"const": 5}, False),
    ],
)
def test_keywords_that_collide_are_tightened_or_kept_side_by_side(
    build: Build, own: Any, where: dict[str, Any], expected: Any
) -> None:
    schema = narrowed(build, {"type": "object", "properties": {"x": own}}, {"x": where})
    assert schema["properties"]["x"] == expected


@pytest.mark.parametrize(
    ("keyword", "tighter", "kind"),
    [
        *(
            ("maximum", 3, "number"),
            ("exclusiveMaximum", 3, "number"),
            ("maxLength", 3, "string"),
            ("maxItems", 3, "array"),
        ),
        *(
            ("minimum", 7, "number"),
            ("exclusiveMinimum", 7, "number"),
            ("minLength", 7, "string"),
            ("minItems", 7, "array"),
        ),
    ],
)
def test_of_two_bounds_the_tighter_is_shown(build: Build, keyword: str, tighter: int, kind: str) -> None:
    for own, other in ((3, 7), (7, 3)):
        schema = narrowed(build, {"type": "object", "properties": {"x": {keyword: own}}}, {"x": {keyword: other}})
        assert schema["properties"]["x"] == {keyword: tighter, "type": kind}


@pytest.mark.parametrize(
    "closing", [{"additionalProperties": False}, {"unevaluatedProperties": False}, {"patternProperties": {"^f": False}}]
)
def test_an_argument_a_closed_schema_does_not_know_stays_unknown(build: Build, closing: dict[str, Any]) -> None:
    closed = TOOL | closing
    schema = narrowed(build, closed, {"force": {"const": False}})
    assert not Draft202012Validator(schema).is_valid({"amount": 1, "force": False})
    assert not Draft202012Validator(schema).is_valid({"amount": 1})


def test_several_rules_read_as_alternatives_of_each_argument(build: Build) -> None:
    rules = [
        {"amount": {"maximum": 5}, "currency": {"const": "USD"}},
        {"amount": {"maximum": 9}, "currency": {"const": "USD"}, "note": {"minLength": 1}},
    ]
    schema = narrowed(build, TOOL, *rules)
    alternatives = [{"maximum": 5, "type": "number"}, {"maximum": 9, "type": "number"}]
    assert schema["properties"]["amount"] == AMOUNT | {"anyOf": alternatives}
    assert schema["properties"]["currency"] == {"type": "string", "const": "USD"}
    assert schema["properties"]["note"] == {"type": "string"}
    assert schema["required"] == ["amount", "currency"]


def test_no_alternative_ever_stands_at_the_root_where_model_apis_refuse_it(build: Build) -> None:
    schema = narrowed(build, {"type": "object"}, {"x": {"maximum": 1}}, {"y": {"maximum": 1}}, {"x": {"const": "z"}})
    assert not schema.keys() & {"anyOf", "allOf", "oneOf", "not"}


def test_a_tool_the_agent_may_not_see_takes_no_arguments_at_all(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/*"}), ("deny", {"tool": "payment/charge"}))
    for tool in ("payment/charge", "records/get"):
        schema = policy.narrow("a", *tool.split("/"), TOOL)
        assert not Draft202012Validator(schema).is_valid({"amount": 1})


owns = st.one_of(
    st.booleans(),
    st.fixed_dictionaries({}, optional={"type": st.sampled_from(["integer", "number", ["string", "number"]])}),
    st.fixed_dictionaries({"maximum": st.integers(0, 9)}, optional={"type": st.just("integer"), "minimum": st.just(1)}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"enum": st.just(["a", "b"]), "pattern": st.just("a")}),
    st.fixed_dictionaries({"$ref": st.just("#/$defs/N")}),
    st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": st.booleans()}),
    st.fixed_dictionaries({"anyOf": st.just([{"type": "string"}, {"minimum": 2}])}),
)
bodies = st.sampled_from(
    [
        {"maximum": 4},
        {"exclusiveMinimum": 2, "type": "integer"},
        {"enum": ["a", 1, True]},
        {"pattern": "^b"},
        {"anyOf": [{"maximum": 3}, {"maxLength": 1}]},
        {"oneOf": [{"maximum": 3}, {"const": "a"}]},
        {"not": {"const": 3}},
        {"properties": {"p": {"maximum": 3}}},
        {"properties": {"p": {}}, "additionalProperties": False},
    ]
)
tools = st.fixed_dictionaries(
    {"properties": st.dictionaries(st.sampled_from("xyz"), owns, max_size=3)},
    optional={
        "required": st.just(["x"]),
        "additionalProperties": st.booleans() | owns,
        "unevaluatedProperties": st.just(False),
        "patternProperties": st.just({"^y": {"type": "number"}}),
        "anyOf": st.just([{"required": ["x"]}, {"required": ["y"]}]),
    },
).map(lambda schema: {"type": "object", "$defs": {"N": {"minimum": 1}}, **schema})
wheres = st.dictionaries(st.sampled_from("xy"), bodies, min_size=1, max_size=2)
values = st.sampled_from(
    [0, 1, 2, 3, 4, 5, 2.5, True, None, "a", "b", "bb", [1], {}, {"p": 1}, {"p": 9}, {"p": 1, "q": 1}]
)
calls = st.dictionaries(st.sampled_from("xyz"), values, max_size=3)


def normal(where: dict[str, Any]) -> str:
    return json.dumps(where, sort_keys=True)


@settings(max_examples=80, deadline=None)
@given(tools, st.lists(wheres, min_size=1, max_size=2, unique_by=normal), st.lists(calls, min_size=5, max_size=15))
def test_a_narrowed_schema_takes_every_allowed_call_and_none_the_tool_refuses(
    build: Build, tool: Any, rules: list[Any], arguments: list[dict[str, Any]]
) -> None:
    policy = build(*(("allow", {"tool": "payment/charge", "where": where}) for where in rules))
    view = Draft202012Validator(policy.narrow("a", "payment", "charge", tool))
    own = Draft202012Validator(tool)
    open_ended = not tool.keys() & {"additionalProperties", "unevaluatedProperties", "patternProperties"}
    for given_arguments in arguments:
        fits = own.is_valid(given_arguments)
        allowed = policy.decide("a", "payment", "charge", "call", given_arguments).allowed
        seen = view.is_valid(given_arguments)
        assert fits or not seen, "wider than the tool"
        assert seen or not (fits and allowed), "narrower than the rules"
        assert not seen or allowed or len(rules) > 1 or not open_ended, "wider than its one rule"
