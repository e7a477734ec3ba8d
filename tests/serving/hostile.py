"""Talking to a server byte by byte, and somebody who asks well meanwhile."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from .running import Running, message_of

SAFETY = 30  # seconds after which a test that hangs fails
SECRET = "zanzibar"  # is in the texts of hostile requests, and must be in no message and no line of the log


# Requests and replies, as bytes


@dataclass(frozen=True)
class Reply:
    """What a server sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> str:
        """The message of a refusal, whose form is checked: JSON of one short line that says nothing of the request's
        texts."""
        assert 400 <= self.status < 500, self
        assert self.headers["content-type"] == "application/json"
        told = message_of(json.loads(self.body))
        assert told.isprintable(), told
        assert len(told) <= 400, told
        assert SECRET not in told.lower()
        assert "Traceback" not in told
        return told


def head(method: str, path: str, *headers: str | bytes, version: str = "HTTP/1.1", host: str = "localhost") -> bytes:
    """The head of a request, which is to be the last of its connection."""
    lines: list[str | bytes] = [f"{method} {path} {version}", f"host: {host}", "connection: close", *headers, "", ""]
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)


def post(path: str, body: Any, *headers: str | bytes, kind: str = "application/json", **how: str) -> bytes:
    """A request with a body: bytes as they are, and anything else as JSON."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", path, f"content-type: {kind}", f"content-length: {len(body)}", *headers, **how) + body


def chunked(body: bytes, size: int = 65_536) -> bytes:
    """A body in chunks."""
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SAFETY)


def exchange(server: Running, *parts: bytes, ended: bool = False, bodiless: bool = False) -> list[Reply]:
    """All that the server says to these bytes until it closes the connection.

    ended:    say after the last byte that no more will come, as a client that goes away in the midst of a request
    bodiless: replies have no body, as those to HEAD

    Raises `TimeoutError` where the server neither answers nor closes.
    """
    with connect(server) as held:
        with suppress(OSError):  # it may have closed already; what it said before is there all the same
            for part in parts:
                held.sendall(part)
            if ended:
                held.shutdown(socket.SHUT_WR)
        return replies_of(read_all(held), bodiless)


def read_all(held: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError):
        while part := held.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def replies_of(data: bytes, bodiless: bool = False) -> list[Reply]:
    """Replies one after another; ``100 Continue`` is left out."""
    replies = []
    while data:
        top, mark, data = data.partition(b"\r\n\r\n")
        assert mark, top
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines)
        status = int(first.split(" ")[1])
        assert first.startswith("HTTP/1.1 ")
        size = 0 if status == 100 or bodiless else int(headers["content-length"])
        assert len(data) >= size
        if status != 100:
            replies.append(Reply(status, headers, data[:size]))
        data = data[size:]
    return replies


# What is asked


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value within a value of JSON, with the keys and numbers that lead to it."""
    if place:
        yield place, value
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*place, name))


def replaced(value: Any, place: Sequence[Any], other: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return other
    copy = value.copy()
    copy[place[0]] = replaced(value[place[0]], place[1:], other)
    return copy


def same(given: Any, expected: Any, atol: float = 2e-6) -> None:
    """Assert that two values of JSON are equal, but for the last digits of numbers."""
    if isinstance(expected, dict):
        assert isinstance(given, dict)
        assert list(given) == list(expected)
        given, expected = list(given.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert isinstance(given, list | tuple)
        assert len(given) == len(expected)
        for one, two in zip(given, expected, strict=True):
            same(one, two, atol)
    elif isinstance(expected, float):
        assert isinstance(given, float)
        assert math.isclose(given, expected, rel_tol=1e-5, abs_tol=atol), (given, expected)
    else:
        assert type(given) is type(expected)
        assert given == expected


def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true before a test would have to be called stuck."""
    ends = time.monotonic() + SAFETY
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.002)
    return True


class Crowd:
    """Somebody who asks well all the time, in a thread, and is to be answered as before the trouble began."""

    def __init__(self, server: Running, asked: Sequence[tuple[str, Any]]) -> None:
        self.expected = [(route, body, server.post(route, body)) for route, body in asked]
        self.url = server.url
        self.answered = 0
        self.wrong: list[str] = []
        self._over = threading.Event()
        self.start()

    def start(self) -> None:
        self._over.clear()
        client = httpx.Client(base_url=self.url, timeout=SAFETY)
        self._thread = threading.Thread(target=self._ask, args=(client,), name="crowd")
        self._thread.start()
        self.check()

    def _ask(self, client: httpx.Client) -> None:
        with client:
            while not self._over.is_set():
                self._ask_all(client)

    def _ask_all(self, client: httpx.Client) -> None:
        for route, body, answer in self.expected:
            try:
                response = client.post(route, json=body)
                assert response.status_code == 200, response.text
                same(response.json(), answer, atol=1e-5)
            except Exception as error:
                self.wrong.append(f"{route}: {error!r:.300}")
            self.answered += 1
            if self._over.wait(0.01):
                return

    def check(self) -> None:
        """Assert that it was answered right so far, and still is."""
        since = self.answered
        assert until(lambda: self.answered >= since + len(self.expected))
        assert self.wrong == []

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def open_files() -> int:
    """Files and sockets that this process has open; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def threads() -> list[str]:
    """Threads but those that a server keeps for tokens and searches, which it starts when it first needs them."""
    return sorted(one.name for one in threading.enumerate() if not one.name.startswith("beside"))
