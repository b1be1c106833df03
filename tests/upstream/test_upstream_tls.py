"""https: the certificate must be trusted and name the host, or nothing is sent."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from upstream_parts import until
from upstream_raw import Raw, echo, says

from gateway.upstream.pool import Pool
from gateway.upstream.response import CutShort, NotSent


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with key and certificate of `localhost`, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=toolgate test")
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, plain)
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def server(certificate: Path) -> AsyncIterator[Raw]:
    """Answers what it is asked, over TLS; afterwards no connection may be left open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    before = len(psutil.Process().net_connections("tcp"))
    raw = Raw(echo)
    await raw.start(context)
    yield raw
    await raw.stop()
    await until(lambda: len(psutil.Process().net_connections("tcp")) <= before)


async def fetch(pool: Pool, body: bytes) -> bytes:
    response = await pool.request("POST", "/mcp", {}, body)
    try:
        return await response.read(1 << 24)
    finally:
        response.close()


async def test_a_trusted_server_is_asked_over_connections_that_are_kept(
    server: Raw, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    pool = Pool(f"https://localhost:{server.port}/mcp")
    for size in (1, 10, 3_000_000):
        assert await fetch(pool, b"x" * size) == b"x" * size
    assert server.connections == 1
    assert f"Host: localhost:{server.port}\r\n".encode() in server.requests[0]
    server.behave = says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True)
    other = Pool(f"https://localhost:{server.port}/mcp")
    with pytest.raises(CutShort):
        await fetch(other, b"x")
    await pool.close()
    await other.close()


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("localhost", False)])
async def test_nothing_is_sent_to_a_server_that(
    server: Raw, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    """... has another name, or is not trusted."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    pool = Pool(f"https://{host}:{server.port}/mcp")
    with pytest.raises(NotSent, match="SSLCertVerificationError"):
        await fetch(pool, b"secret")
    await pool.close()
    assert server.requests == []


async def test_a_request_cancelled_in_the_handshake_leaves_nothing_behind() -> None:
    async def mute(raw: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await reader.read()
        await reader.read()

    heard, before = asyncio.Event(), len(psutil.Process().net_connections("tcp"))
    raw = Raw(mute)
    await raw.start()
    pool = Pool(f"https://localhost:{raw.port}/mcp")
    task = asyncio.create_task(fetch(pool, b"secret"))
    await asyncio.wait_for(heard.wait(), 5)
    task.cancel()
    await asyncio.wait([task])
    await pool.close()
    await until(lambda: raw.open == 0)
    await raw.stop()
    await until(lambda: len(psutil.Process().net_connections("tcp")) <= before)
    assert task.cancelled()
