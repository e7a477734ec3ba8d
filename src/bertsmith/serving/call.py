"""A request under way: who asks, what becomes of it, and whether anybody still waits.

Enters: an ASGI scope. Leaves: what the log and the metrics tell of the request.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bertsmith.serving.refusals import ClientGone

SCOPE_KEY = "bertsmith.call"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
_FIT_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class Call:
    """One request.

    id:       the client's own ``x-request-id``, or a new one; every response and log line has it
    model, texts, tokens: what was asked of which model
    tokenize, queue, compute: seconds
    error:    kind of the refusal, if it was refused
    shown:    the texts, where the server is to log them
    is_counted: whether the log tells of it together with others
    """

    def __init__(self, scope: MutableMapping[str, Any], given_id: bytes = b"") -> None:
        self.id = given_id.decode() if _FIT_ID.fullmatch(given_id) else f"{random.getrandbits(64):016x}"
        self.scope = scope
        self.began = time.monotonic()
        self.model: str | None = None
        self.texts = 0
        self.tokens = 0
        self.tokenize = self.queue = self.compute = 0.0
        self.error: str | None = None
        self.reason: str | None = None
        self.shown: Any = None
        self.is_counted = False
        self.receive: Receive | None = None

    async def wait(self, answer: asyncio.Future[Any]) -> Any:
        """The answer, once it is there.

        Raises `ClientGone` as soon as the client has closed the connection.
        """
        if self.receive is None:
            return await answer
        watcher = asyncio.ensure_future(self.receive())

        def gone(_: object) -> None:
            if not answer.done():
                answer.set_exception(ClientGone("the client has gone"))

        watcher.add_done_callback(gone)
        try:
            return await answer
        finally:
            watcher.remove_done_callback(gone)
            watcher.cancel()
