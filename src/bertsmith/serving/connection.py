"""A connection as uvicorn has it, with what a server that faces strangers needs beside: a time limit for the head of a
request, a size limit for it, and refusals in JSON.
"""

from __future__ import annotations

import re
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bertsmith.serving.refusals import HeadersTooLarge, Malformed, Refusal, TooSlow, body_of

MAX_HEAD = 65_536  # bytes of a request line and its headers
_UPGRADE = re.compile(rb"\r\nupgrade(?=:)", re.IGNORECASE)


def connection_class(read_timeout: float, tell: Callable[[Refusal], None]) -> type[HttpToolsProtocol]:
    """The class of connections whose request heads have so many seconds to arrive.

    tell: told of every refusal that no application hears of
    """
    return type("Connection", (Connection,), {"read_timeout": read_timeout, "tell": staticmethod(tell)})


class Connection(HttpToolsProtocol):
    """One connection; between two requests it may rest as long as uvicorn's keep-alive says."""

    read_timeout: float
    tell: Callable[[Refusal], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: TimerHandle | None = None
        self._in_head = True
        self._in_body = False
        self._head = 0  # bytes of a head that is not whole yet, or more than 0 where they are not known
        self._read = 0  # bytes of the lines of the head that were read

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.read_timeout, self._tell_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is to be waited for."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; too many without an end of its headers are refused."""
        if self._in_head:
            self._head += len(data)
            data = _without_upgrade(data)
        super().data_received(data)
        if self._in_head and self._head > MAX_HEAD:
            self._refuse_head()

    def eof_received(self) -> None:
        """The client sends no more. In the midst of a request that is a mistake, which it may still be told."""
        if (self._in_head and self._head) or self._in_body:
            self._refuse(Malformed("the request ended before it was whole"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head, self._read = max(1, self._head), 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.read_timeout, self._tell_too_slow)

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a body in chunks."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        """A head that is too large is refused even if it arrives at once; so are trailers."""
        self._read += size
        if self._read > MAX_HEAD:
            self._refuse_head()
            raise ValueError("too large")  # the parser stops at it

    def on_headers_complete(self) -> None:
        """Its body follows, which the application waits for."""
        self._stop_timer()
        self._in_head, self._in_body, self._head = False, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._in_head, self._in_body = True, False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP."""
        self._refuse(Malformed("the request is no valid HTTP/1.1"))

    def _refuse_head(self) -> None:
        self._refuse(HeadersTooLarge(f"the head of the request has more than {MAX_HEAD:,} bytes; send less"))

    def _tell_too_slow(self) -> None:
        self._timer = None
        if self._head:
            self._refuse(TooSlow(f"the head of the request did not arrive within {self.read_timeout:g} seconds"))
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close, unless an answer is under way."""
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = orjson.dumps(body_of(refusal, openai=False))
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[refusal.status] + head + body)
            self.tell(refusal)
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """A head whose wish for another protocol is overlooked, as HTTP allows. The parser would take its body for bytes of
    that protocol; Java's clients wish for HTTP/2 with every first request."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nignored", head) + end + rest
