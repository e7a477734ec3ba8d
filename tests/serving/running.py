"""A server in this process: a real one, on a real socket, with its event loop in a thread."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx

from bertsmith.embedding.index import Index
from bertsmith.serving.journal import Journal
from bertsmith.serving.keys import Keys
from bertsmith.serving.kinds import open_model
from bertsmith.serving.limits import Limits
from bertsmith.serving.server import Server, bind
from bertsmith.serving.service import Service


class Running:
    """What a test needs of a server: its address, a client, what it logged, and its inside."""

    def __init__(self, service: Service, port: int, log: io.StringIO) -> None:
        self.service = service
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self._log = log

    def post(self, route: str, body: Any, **more: Any) -> Any:
        """The answer's JSON, which must be one."""
        response = self.client.post(route, json=body, **more)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, route: str, body: Any, **more: Any) -> tuple[int, str]:
        """The status and the message of a refusal, which must be JSON of one line."""
        response = self.client.post(route, json=body, **more)
        assert response.status_code >= 400, response.text
        return response.status_code, message_of(response.json())

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far. Those of requests come after their answers, by a moment."""
        return [json.loads(line) for line in self._log.getvalue().split("\n") if line]

    def logged(self, event: str, **facts: Any) -> dict[str, Any]:
        """The last line of an event with these facts, once it is there."""
        for _ in range(500):
            for line in reversed(self.log):
                if line["event"] == event and all(line.get(name) == value for name, value in facts.items()):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no {event} with {facts} in {self.log[-5:]}")

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it has not been counted yet."""
        return self.service.meters.registry.get_sample_value(name, labels) or 0.0


def message_of(body: Any) -> str:
    """The one line of a refusal, in OpenAI's form or the other."""
    assert set(body) <= {"error", "error_type"}, body
    told = body["error"]["message"] if isinstance(body["error"], dict) else body["error"]
    assert isinstance(told, str)
    assert told
    assert "\n" not in told
    return told


@contextmanager
def running(
    models: Mapping[str, str | Path],
    *,
    indexes: Mapping[str, tuple[Path, str]] | None = None,
    limits: Limits | None = None,
    keys: tuple[str, ...] = (),
    log_texts: bool = False,
    origins: tuple[str, ...] = (),
    engine: str = "torch",
    precision: str = "fp32",
) -> Iterator[Running]:
    """A server of these folders by name."""
    limits = limits or Limits()
    log = io.StringIO()
    how: dict[str, Any] = {"limits": limits, "device": "cpu", "precision": precision, "engine": engine}
    service = Service(
        {name: partial(open_model, name, str(folder), **how) for name, folder in models.items()},
        {name: (Index(folder), model) for name, (folder, model) in (indexes or {}).items()},
        limits=limits,
        keys=Keys(list(keys)),
        journal=Journal("json", log),
        log_texts=log_texts,
    )
    held = bind("127.0.0.1", 0)
    service.open()
    server = Server(service, origins)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield Running(service, held.getsockname()[1], log)
    finally:
        server.should_exit = True
        thread.join()
        held.close()
        service.close()
