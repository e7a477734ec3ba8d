"""Before the routes: request ids, keys, sizes, time limits; behind them the log and the metrics.

Enters: ASGI messages. Leaves: the same to an application that finds the whole body of a request already there. What
goes wrong before it is answered here.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from bertsmith.serving.call import SCOPE_KEY, Call, Message, Receive
from bertsmith.serving.refusals import (
    ClientGone,
    Failed,
    NoJson,
    Overloaded,
    Refusal,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unready,
    body_of,
)
from bertsmith.serving.service import Service

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/health", "/docs", "/openapi.json", "/favicon.ico"})  # what needs no key
QUIET = frozenset({"/health", "/metrics"})  # asked every few seconds: what went well is not logged
READ_ON = 16  # times the largest body: so much of a larger one is read before the refusal, so that it is heard


class Front:
    """An ASGI application around another, whose routes have these paths."""

    def __init__(self, app: App, service: Service, paths: frozenset[str]) -> None:
        self.app = app
        self.paths = paths
        self.service = service
        self.limits = service.limits
        self.keys = service.keys
        self.meters = service.meters
        self.journal = service.journal
        self._refused = 0  # for overload, since the log last told
        self._told = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        call = scope[SCOPE_KEY] = Call(scope, headers.get(b"x-request-id", b""))
        status = 0
        whole = False

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", call.id.encode())]
            await send(message)

        try:
            self._check_key(scope, headers)
            if scope["method"] == "POST" and scope["path"] != "/reload":
                self._refuse_overload(call)
            body = await self._read(scope, headers, receive)
            whole = True
            call.receive = receive
            await self.app(scope, _given(body, receive), sending)
        except (Exception, asyncio.CancelledError) as error:
            refusal = self._refusal_of(error, call)
            call.error, call.reason = refusal.kind, refusal.reason
            if not status:
                status = refusal.status
                # One that has not sent all of its request is sent away, but for overload, where it comes again at once.
                await refuse(refusal, scope, sending, close=not whole and not isinstance(refusal, Overloaded))
        finally:
            self._tell(call, scope, status)

    def _refuse_overload(self, call: Call) -> None:
        """Refuse before the body is read: under overload most requests end here. The log counts them, by the second."""
        try:
            self.service.refuse_overload()
        except Overloaded:
            call.is_counted = True
            self._refused += 1
            if time.monotonic() - self._told > 1:
                self.journal.tell("overloaded", level="warning", refused=self._refused)
                self._refused, self._told = 0, time.monotonic()
            raise

    def _check_key(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if not self.keys or (scope["path"] in OPEN and scope["method"] in ("GET", "HEAD")):
            return
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        key = given.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        if not key:
            raise Unauthorized("this server needs an API key; send the header Authorization: Bearer KEY")
        if not self.keys.accept(key):
            raise Unauthorized("the API key is not one of this server's")

    async def _read(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises `TooLarge`, `TooSlow` or `ClientGone`, and `NoJson` for a body of another kind."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return b""
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        most = self.limits.max_body
        told = headers.get(b"content-length", b"")
        declared = int(told) if told.isdigit() else 0
        if declared > most and (b"expect" in headers or declared > READ_ON * most):
            raise TooLarge(self._too_large(declared))
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.read_timeout):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the client has gone")
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    elif size > READ_ON * most:
                        break
                    more = message.get("more_body", False)
        except TimeoutError:
            raise TooSlow(f"the request did not arrive within {self.limits.read_timeout:g} seconds") from None
        if size > most:
            raise TooLarge(self._too_large(max(size, declared)))
        if size and kind != b"application/json":
            raise NoJson("the body is to be JSON; send the header Content-Type: application/json")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, size: int) -> str:
        return f"the body has {size:,} bytes, and a request may have {self.limits.max_body:,}; send several"

    def _refusal_of(self, error: BaseException, call: Call) -> Refusal:
        """What the client is told. Of an error that nobody foresaw, and of the engine's own, the log tells all."""
        if isinstance(error, asyncio.CancelledError):  # by uvicorn, when the time to end in is over
            return Unready("the server ended before this was answered; ask again")
        refusal = error
        if not isinstance(refusal, Refusal):
            refusal = Failed(f"an error of this server; its log tells more under the id {call.id}")
            refusal.__cause__ = error
        if isinstance(refusal, Failed) and refusal.__cause__ is not None:
            cause = refusal.__cause__
            told = "".join(traceback.format_exception(cause))
            self.journal.tell("error", level="error", id=call.id, error=repr(cause), traceback=told)
        return refusal

    def _tell(self, call: Call, scope: Scope, status: int) -> None:
        known = scope["path"] if scope["path"] in self.paths else "unknown"
        route = getattr(scope.get("route"), "path", known)
        duration = time.monotonic() - call.began
        self.meters.requests.labels(route, str(status)).inc()
        self.meters.request_seconds.labels(route).observe(duration)
        if call.error is not None:
            self.meters.errors.labels(call.error).inc()
        if call.is_counted or (scope["path"] in QUIET and status < 400):
            return
        self.journal.tell(
            "request",
            level="error" if status >= 500 else "info",
            id=call.id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            client=scope["client"][0] if scope.get("client") else None,
            model=call.model,
            texts=call.texts or None,
            tokens=call.tokens or None,
            ms=round(duration * 1e3, 2),
            tokenize_ms=round(call.tokenize * 1e3, 2) if call.tokens else None,
            queue_ms=round(call.queue * 1e3, 2) if call.tokens else None,
            compute_ms=round(call.compute * 1e3, 2) if call.tokens else None,
            error=call.error,
            reason=call.reason,
            shown=call.shown,
        )


def _given(body: bytes, receive: Receive) -> Receive:
    """What reads ``body`` at once, and then whatever comes."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def given() -> Message:
        nonlocal message
        if message is None:
            return await receive()
        first, message = message, None
        return first

    return given


async def refuse(refusal: Refusal, scope: Scope, send: Send, *, close: bool) -> None:
    """Tell a client why there is no answer, and maybe that it is to connect anew."""
    body = orjson.dumps(body_of(refusal, openai=scope["path"].startswith("/v1/")))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
