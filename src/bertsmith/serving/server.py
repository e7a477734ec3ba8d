"""The process: a socket, signals, and uvicorn between them.

SIGTERM, SIGINT   no new connections; what is under way is answered; then the process ends
SIGHUP            models are opened anew from their folders, while the old ones serve
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
from types import FrameType
from typing import Any

import uvicorn

from bertsmith.errors import BertsmithError, SettingsError
from bertsmith.serving.app import build_app
from bertsmith.serving.connection import connection_class
from bertsmith.serving.journal import Journal
from bertsmith.serving.refusals import Refusal
from bertsmith.serving.service import Service

KEEP_ALIVE = 75  # seconds between two requests of a connection: longer than reverse proxies keep theirs
BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, which nobody can connect to yet.

    Raises `SettingsError` for one that is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(address)
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"cannot serve on {host}, port {port}: {told}; give another --host or --port") from None
    return held


def serve_on(held: socket.socket, service: Service, origins: tuple[str, ...] = ()) -> None:
    """Open the service's models, answer until a signal comes, and answer what is under way."""
    _log_to(service.journal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is being opened is as new as can be
    try:
        service.open()
        gc.collect()
        gc.freeze()  # what stays for ever is not searched again and again
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # uvicorn's own take over, and raise them again when all is done
        Server(service, origins).run(sockets=[held])
    finally:
        held.close()
        service.close()


class Server(uvicorn.Server):
    """uvicorn's, that tells the service what signals mean."""

    def __init__(self, service: Service, origins: tuple[str, ...] = ()) -> None:
        super().__init__(
            uvicorn.Config(
                build_app(service, origins),
                http=connection_class(service.limits.read_timeout, service.tell_refused),
                ws="none",
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(service.limits.drain)),
                backlog=BACKLOG,
            )
        )
        self.service = service
        self.reloading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        host, port, *_ = sockets[0].getsockname() if sockets else ("", 0)
        shown = f"[{host}]" if ":" in host else host
        self.service.journal.tell("ready", address=f"http://{shown}:{port}", models=self.service.names)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if not self.service.draining:
            self.service.draining = True
            self.service.journal.tell("draining", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way."""
        await super().shutdown(sockets)
        self.service.journal.tell("ended")

    def _reload(self) -> None:
        if self.reloading is None or self.reloading.done():
            self.reloading = asyncio.ensure_future(self._reload_all())

    async def _reload_all(self) -> None:
        for name in list(self.service.models):
            try:
                await self.service.reload([name])
            except (Refusal, BertsmithError):
                continue  # told in the log; the old one goes on, and the others are tried


class _ToJournal(logging.Handler):
    """What uvicorn warns of, in the server's own log."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        facts: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info:
            facts["traceback"] = logging.Formatter().formatException(record.exc_info)
        self.journal.tell(record.name, level=record.levelname.lower(), **facts)


def _log_to(journal: Journal) -> None:
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_ToJournal(journal)]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
