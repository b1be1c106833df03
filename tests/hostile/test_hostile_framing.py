"""HTTP that one program may read otherwise than the next is refused, and nothing hidden in it is ever run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway_process import GatewayProcess
from hostile_parts import POLICIES, Wire, note
from recorder import Shop

pytestmark = pytest.mark.xdist_group("hostile-framing")  # one gateway for all of them

BODY = note("framed")
SIZE = f"Content-Length: {len(BODY)}"
CODED = "Transfer-Encoding: chunked"


def chunked(body: bytes, *, end: bytes = b"0\r\n\r\n", extension: bytes = b"", line: bytes = b"\r\n") -> bytes:
    return b"%x%s%s%s%s%s" % (len(body), extension, line, body, line, end)


ODD: dict[str, tuple[str, list[str], bytes]] = {
    "CL.TE": ("", [SIZE, CODED], chunked(BODY)),
    "TE.CL": ("", [CODED, SIZE], chunked(BODY)),
    "CL.TE, zero chunk first": ("", [SIZE, CODED], b"0\r\n\r\n"),
    "TE.TE": ("", [CODED, CODED], chunked(BODY)),
    "TE.TE, one unknown": ("", [CODED, "Transfer-Encoding: cow"], chunked(BODY)),
    "TE.TE, identity first": ("", ["Transfer-Encoding: identity", CODED], chunked(BODY)),
    "TE xchunked": ("", ["Transfer-Encoding: xchunked"], chunked(BODY)),
    "TE chunked, identity": ("", ["Transfer-Encoding: chunked, identity"], chunked(BODY)),
    "TE gzip, chunked": ("", ["Transfer-Encoding: gzip, chunked"], chunked(BODY)),
    "TE after a vertical tab": ("", ["Transfer-Encoding: \x0bchunked"], chunked(BODY)),
    "TE in quotes": ("", ['Transfer-Encoding: "chunked"'], chunked(BODY)),
    "TE in HTTP/1.0": ("POST /mcp HTTP/1.0", [CODED], chunked(BODY)),
    "two equal CL": ("", [SIZE, SIZE], BODY),
    "two CL": ("", [SIZE, "Content-Length: 3"], BODY),
    "CL as a list": ("", [f"{SIZE}, {len(BODY)}"], BODY),
    "CL with a sign": ("", [f"Content-Length: +{len(BODY)}"], BODY),
    "CL below zero": ("", ["Content-Length: -1"], BODY),
    "CL in hex": ("", ["Content-Length: 0x20"], BODY),
    "CL with a point": ("", [f"{SIZE}.0"], BODY),
    "CL beyond 64 bits": ("", ["Content-Length: 99999999999999999999999"], BODY),
    "CL of nothing": ("", ["Content-Length: "], BODY),
    "space before the colon": ("", [f"Content-Length : {len(BODY)}"], BODY),
    "tab before the colon": ("", ["Content-Length\t: 3", SIZE], BODY),
    "space before the first header": (" ", [SIZE], BODY),
    "folded header": ("", ["X-Long: a", " b", SIZE], BODY),
    "folded length": ("", ["Content-Length:", f" {len(BODY)}"], BODY),
    "line feed alone": ("", ["X-A: b\nContent-Length: 3", SIZE], BODY),
    "carriage return alone": ("", ["X-A: b\rContent-Length: 3", SIZE], BODY),
    "NUL in a value": ("", ["X-A: b\0c", SIZE], BODY),
    "NUL in a name": ("", ["X\0A: b", SIZE], BODY),
    "no colon": ("", ["Lonely", SIZE], BODY),
    "no name": ("", [": b", SIZE], BODY),
    "bad chunk size": ("", [CODED], b"zz\r\n" + BODY),
    "chunk size with a sign": ("", [CODED], b"+5\r\nabcde\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": ("", [CODED], b"f" * 40 + b"\r\n"),
    "chunk lines without carriage return": ("", [CODED], chunked(BODY, line=b"\n", end=b"0\n\n")),
    "chunk longer than it says": ("", [CODED], b"2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "trailer": ("", [CODED], chunked(BODY, end=b"0\r\nX-Late: a\r\n\r\n")),
    "trailer that says who": ("", [CODED], chunked(BODY, end=b"0\r\nHost: evil.test\r\n\r\n")),
    "HTTP/0.9": ("POST /mcp", [SIZE], BODY),
    "HTTP/1.2": ("POST /mcp HTTP/1.2", [SIZE], BODY),
    "HTTP/2.0": ("POST /mcp HTTP/2.0", [SIZE], BODY),
    "small http": ("POST /mcp http/1.1", [SIZE], BODY),
    "unknown method": ("PWN /mcp HTTP/1.1", [SIZE], BODY),
    "another host's target": ("POST http://evil.test/mcp HTTP/1.1", [SIZE], BODY),
    "a target with our host": ("POST http://localhost/mcp HTTP/1.1", [SIZE], BODY),
    "a target without slash": ("POST mcp HTTP/1.1", [SIZE], BODY),
    "a tunnel": ("CONNECT evil.test:443 HTTP/1.1", [], b""),
    "any target": ("OPTIONS * HTTP/1.1", [], b""),
    "bytes in the target": ("POST /mcp/\xff HTTP/1.1", [SIZE], BODY),
    "upgrade to HTTP/2": (
        "",
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA", SIZE],
        BODY,
    ),
    "upgrade to a websocket": ("GET /mcp HTTP/1.1", ["Connection: Upgrade", "Upgrade: websocket"], b""),
}
"""Request line ("" for the usual one), headers beyond the usual ones, and what follows them."""
OVERSIZE = {
    "one header": ["X-Long: " + "a" * 100_000],
    "many headers": ["X: a"] * 20_000,
    "a header without end": ["X-Long: " + "a" * 3_000_000],
    "a cookie": ["Cookie: " + "a=b; " * 20_000],
}


@pytest.fixture(scope="module")
def gateway(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("framing")
    with GatewayProcess(folder, f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n', POLICIES) as running:
        yield running


@pytest.fixture(scope="module")
def wire(gateway: GatewayProcess) -> Wire:
    return Wire.to(gateway)


def ran(shop: Shop) -> list[str]:
    return [line["text"] for line in shop.executions()]


@pytest.mark.parametrize("kind", ODD)
def test_doubtful_http_is_refused_and_its_connection_closed(wire: Wire, shop: Shop, kind: str) -> None:
    """What follows on the connection would be a request of its own to who read the first one otherwise."""
    line, headers, rest = ODD[kind]
    first = (line.strip() or "POST /mcp HTTP/1.1") + "\r\n" + (" X: y\r\n" if line == " " else "")
    request = first.encode("latin-1") + wire.head(*headers) + b"\r\n" + rest
    heard = wire.say(request + wire.call(f"smuggled by {kind}"))
    assert heard.statuses == [400] and heard.closed, heard
    assert b"Traceback" not in heard.raw and b"gateway" not in heard.raw
    assert not {f"smuggled by {kind}", "framed"} & {*ran(shop)}


@pytest.mark.parametrize("kind", OVERSIZE)
def test_a_head_has_a_largest_size(wire: Wire, kind: str) -> None:
    heard = wire.say(b"POST /mcp HTTP/1.1\r\n" + wire.head(*OVERSIZE[kind], SIZE) + b"\r\n" + BODY)
    assert heard.closed and heard.statuses in ([431], []), heard
    assert wire.say(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n").closed


def test_plain_spellings_are_understood(wire: Wire, shop: Shop) -> None:
    """Else all of the above could hold because nothing is ever answered."""
    good = {
        "chunked": ("POST /mcp HTTP/1.1", [CODED], chunked(note("chunked"))),
        "capitals": ("POST /mcp HTTP/1.1", ["TRANSFER-ENCODING: Chunked"], chunked(note("capitals"))),
        "extension": ("POST /mcp HTTP/1.1", [CODED], chunked(note("extension"), extension=b";a=b")),
        "old": ("POST /mcp HTTP/1.0", [f"Content-Length: {len(note('old'))}"], note("old")),
        "blank": ("\r\n\r\nPOST /mcp HTTP/1.1", [f"Content-Length: {len(note('blank'))}"], note("blank")),
    }
    for text, (line, headers, rest) in good.items():
        heard = wire.say(line.encode() + b"\r\n" + wire.head(*headers) + b"\r\n" + rest)
        assert heard.statuses == [200] and text.encode() in heard.raw, (text, heard)
    assert {*good} <= {*ran(shop)}


def test_requests_in_a_row_are_answered_in_their_order_and_not_without_bound(wire: Wire, shop: Shop) -> None:
    heard = wire.say(b"".join(wire.call(f"row {number}") for number in range(10)))
    assert heard.statuses == [200] * 10
    places = [heard.raw.index(b'"row %d"' % number) for number in range(10)]
    assert places == sorted(places)
    flood = wire.say(wire.call("first of a flood") + wire.call("of a flood") * 1000)
    assert flood.closed and ran(shop).count("of a flood") <= 17
    assert set(flood.statuses) <= {200}


def test_a_refusal_is_never_taken_for_the_answer_to_the_request_before(wire: Wire) -> None:
    heard = wire.say(wire.call("before") + b"GET / HTTP/9.9\r\n\r\n")
    assert heard.closed and 400 not in heard.statuses[:1]


def test_the_path_of_a_face_cannot_be_written_around(gateway: GatewayProcess, wire: Wire) -> None:
    """What is not a face's own name is none; what leads out of `/mcp` leads nowhere."""
    for path in ("%2e%2e/metrics", "..%2fmetrics", "%00", "shop%00", "shop%2f", "shop/..", "./shop", "SHOP", "shop;x"):
        raw = f"POST /mcp/{path} HTTP/1.1\r\n".encode() + wire.head(f"Content-Length: {len(BODY)}") + b"\r\n" + BODY
        heard = wire.say(raw, silence=0.3)
        assert heard.statuses == [404], (path, heard)
    for path in ("//mcp", "/./mcp", "/x/../mcp", "/%2fmcp"):
        raw = f"POST {path} HTTP/1.1\r\n".encode() + wire.head(f"Content-Length: {len(BODY)}") + b"\r\n" + BODY
        assert wire.say(raw, silence=0.3).statuses == [404], path
    assert "Traceback" not in gateway.output and " 500 " not in gateway.output
