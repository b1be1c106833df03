"""One answer over HTTP/1.1: framed strictly (llhttp), held within bounds, read by one task while it arrives."""

from __future__ import annotations

import asyncio

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

LARGEST_HEAD = 64 * 1024
"""Bytes of all header fields of an answer, those of trailers and interim answers included."""
MOST_FIELDS = 100
MOST_HELD = 256 * 1024
"""Bytes of body that wait for the reader before the connection is read no further."""
_MOST_INTERIM = 8
_FAREWELL = 1.0
"""Seconds that the end of a body nobody reads any more has to come, so that its connection can be kept."""


class HttpFailed(Exception):
    """A request failed. The text is for the operator; it holds nothing of what was sent or received."""


class NotSent(HttpFailed):
    """There was no connection, so not one byte was written."""


class CutShort(HttpFailed):
    """The request was written, but no whole answer came."""


class Malformed(HttpFailed):
    """What came is not HTTP as it should be, or exceeds its bounds."""


class Response:
    """The answer to one request, fed by its connection with every byte that comes after the request.

    `status` is 0 until the head has come. Once `done`, nothing more is wanted of the connection, and
    `reusable` says whether it stands exactly at the end of this answer, ready for another request.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.status = 0
        self.done = False
        self.reusable = False
        self._transport = transport
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._fields = self._field_bytes = self._interim = 0
        self._unspent = 0
        self._until_close = False
        self._body = bytearray()
        self._paused = False
        self._leaving: asyncio.TimerHandle | None = None
        self._failure: HttpFailed | None = None
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: str) -> str:
        """The last header of this name (given in lower case), without blanks around; empty when there is none."""
        value = self._headers.get(name.encode())
        return "" if value is None else value.strip(b" \t").decode("utf-8", "surrogateescape")

    async def head(self) -> None:
        """Wait for status and headers. Raises CutShort or Malformed."""
        while not self.status:
            await self._more()

    async def chunk(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises CutShort or Malformed."""
        if self.header("content-encoding").lower() not in ("", "identity"):
            raise Malformed("the body is compressed, which was not asked for")
        while not self._body:
            if self.done and self._failure is None:
                return b""
            await self._more()
        chunk = bytes(self._body)
        self._body.clear()
        self._resume()
        return chunk

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises CutShort, or Malformed, also when it has more than `limit` bytes."""
        if int(self._headers.get(b"content-length", 0)) > limit:
            raise Malformed("the body is too long")
        chunks: list[bytes] = []
        while chunk := await self.chunk():
            chunks.append(chunk)
            limit -= len(chunk)
            if limit < 0:
                raise Malformed("the body is too long")
        return b"".join(chunks)

    def close(self) -> None:
        """Give up what has not come yet: the connection is cut, which is how a request is cancelled."""
        if not self.done:
            self._finish(CutShort("the request was given up"))
            self._transport.abort()

    def leave(self) -> None:
        """Read no further, for all that matters has come. An end that follows soon spares the connection."""
        if not self.done:
            self._leaving = asyncio.get_running_loop().call_later(_FAREWELL, self.close)
            self._resume()

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def feed(self, data: bytes) -> None:
        """Take what the connection received. More than the answer makes the connection unusable."""
        if self._parser is None:
            return
        self._unspent += len(data)
        try:
            self._parser.feed_data(data)
            if self._unspent > LARGEST_HEAD:
                raise Malformed("too many bytes that are no body")
        except (HttpParserError, HttpParserUpgrade, Malformed) as error:
            self.reusable = False
            self._finish(Malformed(str(error.__context__ or error)))
        if len(self._body) > MOST_HELD and not self.done and not self._paused:
            self._hold_back()
        self._wake()

    def _hold_back(self) -> None:
        if self._leaving is not None:
            self.close()
        else:
            self._paused = True
            self._transport.pause_reading()

    def ended(self, orderly: bool) -> None:
        """Take note that the connection has ended. Only a body of no stated length may end so."""
        whole = orderly and self.status and self._until_close
        self._finish(None if whole else CutShort("the connection ended before the answer did"))
        self._wake()

    def _finish(self, failure: HttpFailed | None) -> None:
        if not self.done:
            self.done, self._failure, self._parser = True, failure, None
            self._resume()
            if self._leaving is not None:
                self._leaving.cancel()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self.status or self.done):
            self._waiter.set_result(None)

    def on_message_begin(self) -> None:
        if self.done:
            raise Malformed("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MOST_FIELDS or self._field_bytes > LARGEST_HEAD:
            raise Malformed("the headers are too many or too long")
        if self.status:
            return  # a trailer: nothing in it could be trusted, or is needed
        name = name.lower()
        if name == b"transfer-encoding" and name in self._headers:
            raise Malformed("Transfer-Encoding is given twice")
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        assert parser is not None
        status, version = parser.get_status_code(), parser.get_http_version()
        if version not in ("1.1", "1.0") or status < 100 or status == 101:
            raise Malformed("another protocol than HTTP/1.1")
        if status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise Malformed("too many interim answers")
            headers.clear()
            return
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.strip(b" \t").lower() != b"chunked"):
            raise Malformed("a Transfer-Encoding other than chunked")
        self._until_close = coding is None and b"content-length" not in headers
        self.reusable = parser.should_keep_alive()
        self.status = status

    def on_body(self, data: bytes) -> None:
        self._unspent = 0
        self._body += data

    def on_message_complete(self) -> None:
        if self.status:
            self._finish(None)
