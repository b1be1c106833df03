"""Conditions on arguments fail closed: strict where they allow, lenient where they deny."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.policy import Policy
from gateway.policy.vocabulary import faults
from gateway.policy.where import compile_where

Build = Callable[..., Policy]
NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400


def allows(where: dict[str, Any], arguments: Any) -> bool:
    return compile_where("r", "allow", where).holds(arguments)


def denies(where: dict[str, Any], arguments: Any) -> bool:
    return compile_where("r", "deny", where).holds(arguments)


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ({"maximum": 500}, 500, True),
        ({"maximum": 500}, 500.0, True),
        ({"maximum": 500}, 500.5, False),
        ({"maximum": 500}, "5", False),
        ({"maximum": 500}, True, False),
        ({"maximum": 500}, None, False),
        ({"maximum": 500}, [5], False),
        ({"maximum": 500}, HUGE, False),
        ({"maximum": 500}, NAN, False),
        ({"maximum": 500}, INFINITY, False),
        ({"maximum": 500, "type": "integer"}, 1.0, True),
        ({"maximum": 500, "type": "integer"}, 1.5, False),
        ({"maximum": 500, "type": ["number", "string"]}, "5", True),
        ({"multipleOf": 5}, 10, True),
        ({"enum": ["USD", "EUR"]}, "USD", True),
        ({"enum": ["USD", "EUR"]}, "usd", False),
        ({"enum": [1]}, True, False),
        ({"enum": [1]}, 1.0, True),
        ({"const": True}, 1, False),
        ({"pattern": "^ab$"}, "ab", True),
        ({"pattern": "^ab$"}, "ab\n", False),
        ({"pattern": "^ab$"}, 5, False),
        ({"minLength": 2}, ["a", "b"], False),
        ({"format": "email"}, "a@example.com", True),
        ({"format": "email"}, "nobody", False),
        ({"format": "email"}, 5, False),
        ({"pattern": "^a"}, "a\ud800", False),
        ({"maxItems": 2}, [1, 2], True),
        ({"maxItems": 2}, "ab", False),
        ({"items": {"maximum": 5}}, [1, "x"], False),
        ({"properties": {"country": {"enum": ["US"]}}}, {"country": "US"}, True),
        ({"properties": {"country": {"enum": ["US"]}}}, {}, False),
        ({"properties": {"country": {"enum": ["US"]}}, "required": []}, {}, True),
        ({"properties": {"country": {}}, "additionalProperties": False}, {"country": 1, "x": 2}, False),
        ({"not": {"enum": ["root"]}}, "guest", True),
        ({"not": {"enum": ["root"]}}, "root", False),
        ({"not": {"pattern": "secret"}}, "plain", True),
        ({"not": {"pattern": "secret"}}, 5, False),
        ({"anyOf": [{"maximum": 5}, {"maxLength": 2}]}, "ab", True),
        ({"anyOf": [{"maximum": 5}, {"maxLength": 2}]}, True, False),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}]}, "x", False),
        ({"oneOf": [{"maximum": 5}, {"minimum": 100}]}, 3, True),
        ({"oneOf": [{"maximum": 5}, {"minLength": 9}]}, "x", False),
        ({"oneOf": [{"maximum": 5}, {"maximum": 9}]}, 3, False),
    ],
)
def test_an_allow_holds_only_for_a_value_of_the_right_type_that_fits(
    where: dict[str, Any], value: Any, expected: bool
) -> None:
    assert allows({"x": where}, {"x": value}) is expected


@pytest.mark.parametrize(
    "where", [{"maximum": 5}, {"not": {"const": 1}}, {"type": "string"}, {"anyOf": [{"minimum": 1}]}]
)
def test_an_allow_never_holds_when_the_argument_is_absent(where: dict[str, Any]) -> None:
    assert not allows({"x": where}, {})
    assert not allows({"x": where, "y": {"const": 1}}, {"y": 1})


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ({"minimum": 1000}, 1000, True),
        ({"minimum": 1000}, 999, False),
        ({"minimum": 1000}, "1000", True),
        ({"minimum": 1000}, True, True),
        ({"minimum": 1000}, None, True),
        ({"minimum": 1000}, NAN, True),
        ({"minimum": 1000}, HUGE, True),
        ({"minimum": 1000, "type": "integer"}, "1000", True),
        ({"minimum": 1000, "type": "integer"}, 5, False),
        ({"const": True}, True, True),
        ({"const": True}, False, False),
        ({"const": True}, "true", True),
        ({"const": True}, 1, True),
        ({"enum": ["USD"]}, "EUR", False),
        ({"enum": ["USD"]}, ["USD"], True),
        ({"pattern": "secret"}, "a secret", True),
        ({"pattern": "secret"}, "plain", False),
        ({"pattern": "secret"}, "\ud800", True),
        ({"not": {"pattern": "^ok$"}}, "ok", False),
        ({"not": {"pattern": "^ok$"}}, "bad", True),
        ({"not": {"pattern": "^ok$"}}, 5, True),
        ({"not": {"maximum": 5}}, 4, False),
        ({"not": {"maximum": 5}}, "4", True),
        ({"oneOf": [{"maximum": 5}, {"minLength": 9}]}, "x", True),
        ({"properties": {"force": {"const": True}}}, {}, True),
        ({"properties": {"force": {"const": True}}}, {"force": False}, False),
        ({"required": ["force"]}, {}, False),
        ({"items": {"enum": ["x"]}}, ["y"], False),
        ({"items": {"enum": ["x"]}}, "x", True),
    ],
)
def test_a_deny_holds_unless_the_value_certainly_does_not_match(
    where: dict[str, Any], value: Any, expected: bool
) -> None:
    assert denies({"x": where}, {"x": value}) is expected


def test_a_deny_holds_when_the_argument_is_absent() -> None:
    assert denies({"x": {"minimum": 5}}, {})
    assert not denies({"x": {"minimum": 5}, "y": {"const": 1}}, {"y": 2})


@pytest.mark.parametrize("arguments", [{"x": object()}, {"x": {1: 2}}, {"x": "\udfff"}, {"x": {5}}])
def test_what_is_not_json_opens_no_allow_and_evades_no_deny(arguments: dict[str, Any]) -> None:
    assert not allows({"x": {"not": {"const": 1}}}, arguments)
    assert denies({"x": {"pattern": "never"}}, arguments)


def test_arguments_in_any_mapping_are_judged_as_their_content(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 5}}}))
    assert policy.decide("a", "payment", "charge", "call", MappingProxyType({"amount": 5})).allowed
    assert not policy.decide("a", "payment", "charge", "call", MappingProxyType({"amount": 6})).allowed


def test_a_pattern_that_would_backtrack_for_ever_is_judged_at_once_and_rightly() -> None:
    where = {"x": {"pattern": "^(a+)+$"}}
    assert denies(where, {"x": "a" * 100_000})
    assert not allows(where, {"x": "a" * 100_000 + "!"})


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from([0.5, 5.0])
    | st.sampled_from(["", "a", "ab", "b"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
    max_leaves=5,
)
leaves = st.one_of(
    st.fixed_dictionaries({}, optional={"minimum": st.integers(0, 9), "maximum": st.integers(0, 9)}),
    st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 2), "pattern": st.sampled_from(["^a", "b"])}),
    st.fixed_dictionaries({"enum": st.lists(scalars.filter(lambda value: value is not None), min_size=1, max_size=3)}),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object"])}),
    st.fixed_dictionaries({"type": st.just("integer"), "maximum": st.integers(0, 9)}),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"anyOf": several}),
        st.fixed_dictionaries({"allOf": several, "oneOf": several}),
        st.fixed_dictionaries({"oneOf": several}),
        st.fixed_dictionaries({"items": inner, "maxItems": st.integers(0, 2)}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("pq"), inner, max_size=2)},
            optional={"additionalProperties": st.booleans() | inner, "required": st.just(["p"])},
        ),
    )


schemas = st.recursive(leaves, _nested, max_leaves=5).filter(bool)


@settings(max_examples=150, deadline=None)
@given(schemas, values)
def test_strict_implies_the_plain_meaning_and_the_plain_meaning_implies_lenient(schema: Any, value: Any) -> None:
    assert not list(faults({"x": schema}))
    plain = Draft202012Validator(schema).is_valid(value)
    assert plain or not allows({"x": schema}, {"x": value}), json.dumps(schema)
    assert not plain or denies({"x": schema}, {"x": value}), json.dumps(schema)


@pytest.mark.parametrize(("value", "shown"), [(10**15 - 1, True), (10**15, False), (-(10**15), False), (True, False)])
def test_a_number_is_shown_unless_it_is_so_long_that_it_may_be_a_secret(value: Any, shown: bool) -> None:
    told = compile_where("r", "allow", {"x": {"maximum": 5, "minimum": 0}}).failures({"x": value})
    assert told.startswith("x: ")
    assert (str(value) in told) is shown
