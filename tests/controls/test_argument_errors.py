"""What a caller is told of arguments that do not fit: where and why, never the values themselves."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalog import checker

HUGE = "canary " * 70_000
SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "unit": {"enum": ["piece", "box"]},
        "note": {"type": "string", "maxLength": 10},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"amount": HUGE}, "amount"),
        ({"unit": HUGE}, "unit"),
        ({"note": HUGE}, "note"),
        ({"tags": [HUGE, HUGE, HUGE, HUGE]}, "tags.0"),
        ({"amount": [HUGE], "unit": {"deep": HUGE}, "note": HUGE}, "amount"),
    ],
)
def test_a_value_that_does_not_fit_is_not_repeated_however_long_it_is(arguments: dict[str, Any], where: str) -> None:
    told = checker(SCHEMA)(arguments)
    assert told is not None and len(told) <= 600
    assert where in told and "canary" not in told


def test_even_a_name_of_half_a_megabyte_makes_no_long_text() -> None:
    told = checker(SCHEMA)({HUGE: 1})
    assert told is not None and len(told) <= 600
