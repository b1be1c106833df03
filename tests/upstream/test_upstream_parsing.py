from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Garbled
from gateway.upstream.sse import Events, TooLong
from gateway.upstream.wire import decode, encode, outcome, request_params

STREAM = (
    b"\xef\xbb\xbf: comment\r\nretry: 1500\r\nid: 1\r\ndata\r\n\r\n"
    b'data: {"a":\ndata: 1}\nid: 2\n\nevent: other\ndata: left out\n\nid: 3\rdata:x\r\rid: no\0\ndata: y\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    events = Events()
    places = sorted({0, len(STREAM), *cuts})
    data = [event for a, b in pairwise(places) for event in events.feed(STREAM[a:b])]
    assert data == [b'{"a":\n1}', b"x", b"y"]
    assert (events.last_id, events.retry) == ("3", 1.5)


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 200, b":" + b"x" * 200, b"data: 123456789\n" * 20])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_beyond_the_bound_is_refused(flood: bytes, size: int) -> None:
    events = Events(limit=100)
    with pytest.raises(TooLong):
        for start in range(0, len(flood), size):
            list(events.feed(flood[start : start + size]))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_argument_is_written_and_read_back(value: object) -> None:
    data = encode({"value": value})
    assert b"\n" not in data
    if not isinstance(value, int) or abs(value) < 2**63:
        assert decode(data) is not None


def test_a_progress_token_goes_out_only_where_the_caller_has_one() -> None:
    assert request_params("legacy", 7, {"name": "a"}) == {"name": "a"}
    assert request_params("legacy", 7, {"_meta": {"progressToken": "x", "k": 1}}) == {
        "_meta": {"progressToken": 7, "k": 1}
    }
    modern = request_params("modern", 7, {"_meta": {"io.modelcontextprotocol/clientCapabilities": {"sampling": {}}}})
    assert modern["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {"sampling": {}}
    assert "progressToken" not in modern["_meta"]


@pytest.mark.parametrize("id", ["1", 1.0, True, None, 2])
def test_a_result_under_another_id_is_garbled(id: object) -> None:
    with pytest.raises(Garbled):
        outcome("depot", 1, {"id": id, "result": {}})
