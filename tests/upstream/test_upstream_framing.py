"""What counts as an HTTP answer: one reading only, and everything that has two is refused."""

from __future__ import annotations

from typing import Any

import pytest
from upstream_raw import ok, says

from gateway.upstream.response import CutShort, HttpFailed, Malformed

H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "a lone LF after the status": b"HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\na",
    "a lone LF after a header": H + b"Content-Length: 1\n\r\na",
    "a lone LF after the headers": H + b"Content-Length: 1\r\n\na",
    "a lone CR in a header": H + b"A: b\rC: d\r\nContent-Length: 1\r\n\r\na",
    "a folded header": H + b"A: b\r\n c\r\nContent-Length: 1\r\n\r\na",
    "a space before the colon": H + b"Content-Length : 1\r\n\r\na",
    "a header without a name": H + b": b\r\nContent-Length: 1\r\n\r\na",
    "NUL in a header": H + b"A: \0\r\nContent-Length: 1\r\n\r\na",
    "two lengths that differ": H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\naa",
    "two lengths that agree": H + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": H + b"Content-Length: 1, 1\r\n\r\na",
    "a signed length": H + b"Content-Length: +1\r\n\r\na",
    "a negative length": H + b"Content-Length: -1\r\n\r\na",
    "an empty length": H + b"Content-Length: \r\n\r\na",
    "a length beyond all bounds": H + b"Content-Length: 99999999999999999999999\r\n\r\na",
    "a length, then chunks": H + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks, then a length": H + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks twice": H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks inside gzip": H + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer coding": H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity as transfer coding": H + b"Transfer-Encoding: identity\r\n\r\na",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a chunk size after a minus": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "a chunk size before a space": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a chunk size beyond all bounds": CHUNKED + b"fffffffffffffffff\r\na\r\n0\r\n\r\n",
    "a chunk size before a lone LF": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "a chunk before a lone LF": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a length in the trailer": CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 9\r\n\r\n",
    "an endless trailer": CHUNKED + b"1\r\na\r\n0\r\nA: " + b"b" * 200_000,
    "an endless chunk extension": CHUNKED + b"1;" + b"b" * 200_000,
    "too many headers": H + b"A: b\r\n" * 101 + b"Content-Length: 1\r\n\r\na",
    "too long headers": H + b"A: " + b"b" * 66_000 + b"\r\nContent-Length: 1\r\n\r\na",
    "headers without end": H + b"A: " + b"b" * 200_000,
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99,
    "an interim answer with a body": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc" + ok(b"a"),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "another protocol, unnamed": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 1\r\n\r\na",
    "status 0": b"HTTP/1.1 000 OK\r\nContent-Length: 1\r\n\r\na",
    "status 99": b"HTTP/1.1 99 OK\r\nContent-Length: 1\r\n\r\na",
    "status 1000": b"HTTP/1.1 1000 OK\r\nContent-Length: 1\r\n\r\na",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
}
UNWANTED = {
    "compressed": ok(b"a", b"Content-Encoding: gzip"),
    "longer than the limit": ok(b"a" * 2000),
    "longer than the limit, in chunks": CHUNKED + b"7d0\r\n" + b"a" * 2000 + b"\r\n0\r\n\r\n",
    "longer than the limit, without an end": H + b"\r\n" + b"a" * 2000,
}
CUT = {
    "nothing": b"",
    "half a head": H + b"Content-Le",
    "half a body": H + b"Content-Length: 9\r\n\r\nabc",
    "half a chunk": CHUNKED + b"9\r\nabc",
    "chunks without a last one": CHUNKED + b"1\r\na\r\n",
    "an interim answer only": b"HTTP/1.1 100 Continue\r\n\r\n",
}
WELL = {
    "of stated length": ok(b"abc"),
    "in chunks": CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
    "in chunks with a trailer": CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\nContent-Type: text/html\r\n\r\n",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nContent-Type: a/b\r\n\r\n" + ok(b"abc"),
    "without a reason phrase": b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
    "with blanks around its headers": H + b"Content-Length: \t3 \t\r\nContent-Encoding: identity \r\n\r\nabc",
}


async def fetch(pool: Any) -> tuple[int, bytes, str]:
    response = await pool.request("POST", "/mcp", {}, b"{}")
    try:
        return response.status, await response.read(1000), response.header("content-type")
    finally:
        response.close()


@pytest.mark.parametrize("case", MALFORMED)
async def test_an_answer_is_refused_that_has(serve: Any, case: str) -> None:
    server, pool = await serve(says(MALFORMED[case]))
    with pytest.raises(Malformed):
        await fetch(pool)
    server.behave = says(ok(b"well"))
    assert (await fetch(pool))[1] == b"well" and server.connections == 2


@pytest.mark.parametrize("case", UNWANTED)
async def test_a_body_is_refused_that_is(serve: Any, case: str) -> None:
    _, pool = await serve(says(UNWANTED[case]))
    with pytest.raises(Malformed):
        await fetch(pool)


@pytest.mark.parametrize("case", CUT)
async def test_an_answer_is_cut_short_that_ends_with(serve: Any, case: str) -> None:
    server, pool = await serve(says(CUT[case], close=True))
    with pytest.raises(CutShort):
        await fetch(pool)
    assert len(server.requests) == 1


@pytest.mark.parametrize("each", [None, 1, 7], ids=["whole", "byte by byte", "in pieces"])
@pytest.mark.parametrize("case", WELL)
async def test_an_answer_is_read_and_its_connection_kept(serve: Any, case: str, each: int | None) -> None:
    server, pool = await serve(says(WELL[case], each=each))
    for _ in range(3):
        assert await fetch(pool) == (200, b"abc", "")
    assert server.connections == 1


@pytest.mark.parametrize(
    "head", [H, H + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n"], ids=["unsaid", "said", "HTTP/1.0"]
)
async def test_an_answer_may_end_with_its_connection(serve: Any, head: bytes) -> None:
    server, pool = await serve(says(head + b"\r\nabc", close=True))
    assert [await fetch(pool), await fetch(pool)] == [(200, b"abc", "")] * 2
    assert server.connections == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_of_this_status_has_no_body(serve: Any, status: int) -> None:
    server, pool = await serve(says(b"HTTP/1.1 %d X\r\n\r\n" % status))
    assert [await fetch(pool), await fetch(pool)] == [(status, b"", "")] * 2
    assert server.connections == 1


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_what_went_wrong_is_told_without_what_was_sent_or_received(serve: Any, reply: bytes) -> None:
    _, pool = await serve(says(reply, close=True))
    with pytest.raises(HttpFailed) as failed:
        await fetch(pool)
    assert str(failed.value) == "the connection ended before the answer did"
