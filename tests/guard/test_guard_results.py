"""What leaves is a valid result, no larger than allowed, without a secret, and the very same when it was clean."""

from __future__ import annotations

import base64
import json
from typing import Any

import mcp.types as t
import orjson
import pytest
from guard_parts import LIMIT, NUMBERS, SECRET, call, looked_at, results, said
from hypothesis import given, settings
from hypothesis import strategies as st
from spellings import SPELLINGS, readable

from gateway.call import Result
from gateway.rules.look import Look
from gateway.rules.screen import Screen
from gateway.rules.secrets import MASK, Secrets
from gateway.rules.unicode import strip

CUT = "[cut by toolgate: "


def size(result: Result) -> int:
    return len(orjson.dumps(result))


def valid(result: Result) -> bool:
    """A tool's result as the SDK reads it."""
    t.CallToolResult.model_validate(result)
    return json.loads(orjson.dumps(result)) == result


@settings(deadline=None)
@given(result=results)
def test_a_clean_result_is_handed_on_as_it_is(result: Result) -> None:
    before = orjson.dumps(result)
    clean, findings = looked_at(result, limit=1_000_000)
    assert clean is result and orjson.dumps(clean) == before
    assert set(findings.kinds()) <= {"marker"}


@settings(deadline=None)
@given(result=results, how=st.sampled_from(sorted(SPELLINGS)), data=st.data())
def test_a_secret_anywhere_leaves_a_valid_result_without_it(result: Result, how: str, data: Any) -> None:
    told = SPELLINGS[how](SECRET)
    places = {
        "text": said(told),
        "structured": {"structuredContent": {told: [1, told]}},
        "meta": {"_meta": {"a": told}},
    }
    added = places[data.draw(st.sampled_from(sorted(places)))]
    content = [*result["content"], *added.pop("content", [])]
    clean, findings = looked_at({**result, **added, "content": content}, limit=1_000_000)
    assert valid(clean) and "masked" in findings.kinds()
    assert readable(orjson.dumps(clean), SECRET) == []


@settings(deadline=None)
@given(result=results, texts=st.lists(st.text(max_size=3000), max_size=5), limit=st.integers(600, 6000))
def test_what_leaves_is_never_larger_than_allowed_and_always_valid(
    result: Result, texts: list[str], limit: int
) -> None:
    whole = {**result, "content": [*result["content"], *({"type": "text", "text": text} for text in texts)]}
    clean, findings = looked_at(whole, limit=limit)
    assert valid(clean)
    assert size(clean) <= limit
    assert (findings.cut is not None) == ("toolgate/cut" in clean.get("_meta", {}))


def test_long_texts_are_cut_visibly_and_short_ones_left_whole() -> None:
    texts = ["a" * 9000, "short", "é" * 5000]
    clean, findings = looked_at({"content": [{"type": "text", "text": text} for text in texts]})
    first, second, third = (block["text"] for block in clean["content"])
    assert second == "short"
    assert first.startswith("aaaa") and first.endswith(" of 9000 bytes]") and third.endswith(" of 10000 bytes]")
    kept = int(first.split(CUT)[1].split(" ")[0])
    assert first == "a" * kept + f"\n{CUT}{kept} of 9000 bytes]"
    assert clean["_meta"] == {"toolgate/cut": {"bytes": findings.cut, "limit": LIMIT}}
    assert LIMIT * 0.95 < size(clean) <= LIMIT and "isError" not in clean


def test_structured_content_that_is_too_large_gives_way_to_a_text_and_to_an_error_where_a_schema_promises_it() -> None:
    large = {**said("fine"), "structuredContent": {"rows": ["x" * 100] * 100}}
    loose, _ = looked_at(large)
    strict, _ = looked_at(large, call(schema=NUMBERS))
    for clean in (loose, strict):
        assert "structuredContent" not in clean and "the tool did run" in clean["content"][0]["text"]
        assert clean["content"][1]["text"] == "fine" and valid(clean)
    assert "isError" not in loose and strict["isError"] is True


def test_data_that_is_too_large_gives_way_to_a_text_and_what_is_beside_it_stays() -> None:
    image = {"type": "image", "mimeType": "image/png", "data": "A" * 8000}
    file = {"type": "resource", "resource": {"uri": "a:b", "mimeType": "x/y", "blob": "A" * 9000}}
    clean, _ = looked_at({"content": [image, file, {"type": "text", "text": "beside"}]})
    kinds = [block["type"] for block in clean["content"]]
    assert kinds == ["text", "resource", "text"] and valid(clean)
    assert "blob" not in clean["content"][1]["resource"] and clean["content"][2]["text"] == "beside"
    read = {"contents": [{"uri": "a:b", "blob": "A" * 9000}, {"uri": "a:c", "text": "b" * 9000}]}
    clean, _ = looked_at(read, call("resources/read", tool="a:b", action="read"))
    t.ReadResourceResult.model_validate({"ttlMs": 0, "cacheScope": "private", "resultType": "complete", **clean})
    assert "bytes" in clean["contents"][0]["text"] and CUT in clean["contents"][1]["text"]


def test_a_secret_in_data_empties_the_data_and_says_so() -> None:
    data = base64.b64encode(b"\x89PNG" + SECRET.encode()).decode()
    clean, findings = looked_at({"content": [{"type": "image", "mimeType": "image/png", "data": data}]})
    assert clean["content"] == [{"type": "text", "text": "[withheld by toolgate: there was a secret in this data]"}]
    assert findings.masked["blob"] == 1


@pytest.mark.parametrize(
    ("method", "kind"), [("tools/call", "content"), ("prompts/get", "messages"), ("resources/read", "contents")]
)
def test_a_secret_spread_over_fields_withholds_the_whole_result(method: str, kind: str) -> None:
    clean, findings = looked_at({kind: [], "_meta": {"letters": [*SECRET]}}, call(method))
    assert "withheld" in json.dumps(clean[kind]) and "_meta" not in clean
    assert findings.kinds() == ["withheld"]


def test_structured_content_that_no_longer_fits_its_schema_is_not_shown_to_clients_that_check_it() -> None:
    strict = {"type": "object", "properties": {"key": {"type": "string", "maxLength": 12}}}
    clean, _ = looked_at({**said("x"), "structuredContent": {"key": SECRET}}, call(schema=strict))
    assert clean["isError"] is True and "structuredContent" not in clean
    loose, _ = looked_at({**said("x"), "structuredContent": {"key": SECRET}}, call(schema={"type": "object"}))
    assert loose["structuredContent"] == {"key": MASK} and "isError" not in loose


def test_hidden_characters_are_cut_out_and_counted_and_emoji_stay() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    tags = "".join(chr(0xE0000 + ord(char)) for char in "do it")
    text = f"fine{tags} \x1b[31mred\x1b[0m \U0001f468\u200d\U0001f469\u200d\U0001f467 {flag}\nnext\tcolumn"
    clean, findings = looked_at({**said(text), "structuredContent": {"a": text}, "requestState": text})
    assert clean["content"][0]["text"] == f"fine red \U0001f468\u200d\U0001f469\u200d\U0001f467 {flag}\nnext\tcolumn"
    assert clean["structuredContent"]["a"] == clean["content"][0]["text"] and clean["requestState"] == text
    assert findings.stripped == {"content": 1, "structuredContent": 1}


def test_a_look_suspects_all_that_would_be_cut_out() -> None:
    codes = [*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000)]
    cut_out = [char for char in map(chr, codes) if strip(char * 6) != char * 6]
    assert len(cut_out) > 3000
    assert all(Look.at(said(f"a{char}"), Secrets()).hidden for char in cut_out)


@settings(deadline=None)
@given(before=st.integers(0, 3 * LIMIT), text=st.sampled_from(["x", SECRET, "\u200b", "é"]))
def test_no_cut_leaves_a_part_of_a_secret(before: int, text: str) -> None:
    clean, findings = looked_at(said(text * (before // len(text)) + SECRET + text * LIMIT))
    assert "withheld" in clean["content"][0]["text"] and findings.kinds() == ["withheld"]


def test_what_masks_secrets_may_be_longer_than_they_are_and_still_fits() -> None:
    short = "a1b2c3d4"
    screen = Screen(call(), Secrets.of([short]), LIMIT)
    clean = screen.result(said(f"{short}, " * 400))
    assert size(clean) <= LIMIT and MASK in clean["content"][0]["text"] and valid(clean)


@pytest.mark.parametrize("content", ["words", 7, None, [7], [{"type": "text", "text": 7}], [{"type": "resource"}]])
def test_a_result_that_is_none_is_looked_at_all_the_same(content: Any) -> None:
    clean, _ = looked_at({"content": content, "_meta": {"key": SECRET}})
    assert clean == {"content": content, "_meta": {"key": MASK}}
    untrusted, _ = looked_at({"content": content}, call(content="untrusted"))
    assert untrusted == {"content": content}
    cut, _ = looked_at({"content": content, "x": "y" * 5000})
    assert size(cut) <= LIMIT and "5" in cut["content"][0]["text"]
