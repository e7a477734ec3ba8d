"""serve: a process that answers, takes signals, and ends when all is answered; and what is refused in a line.

What the server does with requests is tested beside it, in tests/serving.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.cli.app import run
from bertsmith.engine import TaskModel
from bertsmith.stages import serve as stage

from .conftest import refused
from .indexes import Place, changed_model

for needed in stage.NEEDED:
    pytest.importorskip(needed, reason="the extra 'serve' is not installed")

Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
SAFETY = 60  # seconds after which a test that hangs fails
KEY = "s3cret"
EXACT = ["--engine", "torch", "--precision", "fp32"]
TEXTS = ["the cat sat on the mat", "a good day", "who was in the park"]


class Process:
    """A process that serves, and its log."""

    def __init__(
        self, *words: str, command: tuple[str, ...] = ("-m", "bertsmith", "serve"), **environment: str
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command, *words, *EXACT, "--port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.log: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def next(self) -> dict[str, Any] | None:
        """The next line of the log, once there is one; none at its end."""
        line = self._lines.get(timeout=SAFETY)
        if line is None:
            return None
        self.log.append(json.loads(line))
        return self.log[-1]

    def logged(self, event: str) -> dict[str, Any]:
        """The next line of an event."""
        while line := self.next():
            if line["event"] == event:
                return line
        raise AssertionError(f"it ended without {event}: {self.log[-5:]}")

    @property
    def address(self) -> str:
        """Host and port, once it is ready."""
        address: str = self.logged("ready")["address"]
        return address.removeprefix("http://")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """The exit code, once it has ended by itself; the log is whole then, and nothing else was written."""
        while self.next():
            pass
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        return self.process.wait(SAFETY)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def send(address: str, method: str, path: str, body: Any = None, key: str = KEY) -> HTTPConnection:
    """A connection with a request on its way."""
    connection = HTTPConnection(address, timeout=SAFETY)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    return connection


def receive(connection: HTTPConnection) -> tuple[int, Any]:
    """The status and the JSON, or the text, of the answer."""
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, json.loads(text) if response.headers["content-type"] == "application/json" else text


def asked(address: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any]:
    return receive(send(address, "GET" if body is None else "POST", path, body, key))


def embedded(folder: Path, texts: list[str], capfd: Capture) -> list[list[float]]:
    """What `bertsmith embed` says."""
    capfd.readouterr()
    words = [word for text in texts for word in ("--text", text)]
    assert run(["embed", "--model", str(folder), *words, *EXACT]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


# The process


@pytest.fixture(scope="module")
def mine(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of models that may be changed."""
    place = tmp_path_factory.mktemp("served")
    return {name: shutil.copytree(model_folder(name), place / name) for name in ("embed", "classify")}


@pytest.fixture(scope="module")
def served(mine: dict[str, Path]) -> Iterator[tuple[Process, str]]:
    """A process that serves two models to whoever has the key, and its address. At its end it is interrupted."""
    models = ["--model", str(mine["embed"]), "--model", f"labels={mine['classify']}"]
    process = Process(*models, BERTSMITH_API_KEY=KEY)
    try:
        yield process, process.address
        process.signal(signal.SIGINT)
        assert process.end() == 0
        assert [line["event"] for line in process.log[-2:]] == ["draining", "ended"]
        assert process.log[-2]["signal"] == "SIGINT"
    finally:
        process.kill()


def test_answers_are_those_of_the_other_verbs(
    served: tuple[Process, str], mine: dict[str, Path], capfd: Capture
) -> None:
    process, address = served
    status, models = asked(address, "/v1/models")
    assert status == 200
    assert [(one["id"], one["task"], one["engine"], one["precision"]) for one in models["data"]] == [
        ("embed", "embed", "torch", "fp32"),
        ("labels", "classify", "torch", "fp32"),
    ]
    status, vectors = asked(address, "/embed", {"inputs": TEXTS})
    assert status == 200
    np.testing.assert_allclose(vectors, embedded(mine["embed"], TEXTS, capfd), atol=1e-5)
    status, (labels,) = asked(address, "/predict", {"inputs": TEXTS[:1], "model": "labels"})
    assert status == 200
    assert run(["predict", "--model", str(mine["classify"]), "--text", TEXTS[0], "--json", *EXACT[2:]]) == 0
    expected = json.loads(capfd.readouterr().out)
    assert {one["label"]: one["score"] for one in labels} == pytest.approx(expected["probabilities"], abs=1e-5)
    assert labels[0]["label"] == expected["label"]
    status, told = asked(address, "/embed", {"inputs": TEXTS, "model": "classify"})
    assert (status, told["error"]) == (
        404,
        "there is no model 'classify'; served are: embed (embed), labels (classify)",
    )
    assert asked(address, "/embed", {"inputs": TEXTS}, key="wrong")[0] == 401
    assert asked(address, "/health", key="wrong") == (200, {"status": "ready"})
    line = process.logged("request")
    while line["status"] != 401:
        line = process.logged("request")
    assert KEY not in json.dumps(process.log)


def test_a_hangup_opens_the_models_anew(served: tuple[Process, str], mine: dict[str, Path], capfd: Capture) -> None:
    process, address = served
    _, old = asked(address, "/embed", {"inputs": TEXTS})
    _, labels = asked(address, "/predict", {"inputs": TEXTS, "model": "labels"})
    changed_model(mine["embed"], mine["embed"])
    weights = mine["classify"] / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    process.signal(signal.SIGHUP)
    assert process.logged("reloaded")["model"] == "embed"
    failed = process.logged("reload failed")  # which keeps it from nothing else
    assert (failed["model"], failed["level"]) == ("labels", "error")
    assert str(weights) in failed["error"]
    _, new = asked(address, "/embed", {"inputs": TEXTS})
    assert not np.allclose(old, new, atol=1e-3)
    np.testing.assert_allclose(new, embedded(mine["embed"], TEXTS, capfd), atol=1e-5)
    assert asked(address, "/predict", {"inputs": TEXTS, "model": "labels"}) == (200, labels)
    weights.write_bytes(whole)
    process.signal(signal.SIGHUP)
    assert [process.logged("reloaded")["model"] for _ in range(2)] == ["embed", "labels"]
    assert asked(address, "/predict", {"inputs": TEXTS, "model": "labels"}) == (200, labels)


@pytest.fixture
def indexed(model_folder: Folder, tmp_path: Path) -> Place:
    """An index with the vectors of a model that may be changed."""
    place = Place(tmp_path, shutil.copytree(model_folder("embed"), tmp_path / "encoder"))
    place.change({f"t{number}": text for number, text in enumerate(TEXTS)})
    return place


def test_an_index_alone_and_its_end_under_load(indexed: Place, capfd: Capture) -> None:
    """The index brings its model. When it is told to end, what it has accepted is answered, all of it."""
    process = Process("--index", f"docs={indexed.index}", "--max-wait", "1000", "--drain", "1000")
    try:
        address = process.address
        assert [one["id"] for one in asked(address, "/v1/models")[1]["data"]] == ["encoder"]
        status, hits = asked(address, "/search", {"query": TEXTS[1], "top": 2, "index": "docs"})
        assert status == 200
        capfd.readouterr()
        words = ["search", "--index", str(indexed.index), "--query", TEXTS[1], "--top", "2", *EXACT]
        assert run(words) == 0
        expected = json.loads(capfd.readouterr().out)["hits"]
        assert [(hit["id"], hit["text"]) for hit in hits] == [(hit["id"], hit["text"]) for hit in expected]
        assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in expected], abs=1e-5)

        long = "a on in it is a on in it is a on in it is a on in it is a on in it is a on in it is a on in it is"
        texts = [f"{word} {long}" for word in ("cat", "dog", "mat", "park")]
        vectors = embedded(indexed.model, texts, capfd)
        status, tokens = asked(address, "/tokenize", {"inputs": texts})
        rows, requests = 400, 12
        one = rows * len(tokens[0])
        assert one > rows * len(texts[0]) // 4 + 1024  # the real tokens are more than those promised, and than a batch
        before = accepted(address)
        connections = [
            send(address, "POST", "/embed", {"inputs": [texts[number % 4]] * rows}) for number in range(requests)
        ]
        ends = time.monotonic() + SAFETY
        while accepted(address) - before <= (requests - 1) * one:  # until the last of them is in the queue
            assert time.monotonic() < ends
        process.signal(signal.SIGTERM)
        for number, connection in enumerate(connections):
            status, found = receive(connection)
            assert status == 200
            np.testing.assert_allclose(found, [vectors[number % 4]] * rows, atol=1e-5)
        assert process.end() == 0
        events = [line["event"] for line in process.log]
        (place,) = [place for place, event in enumerate(events) if event == "draining"]
        assert process.log[place]["signal"] == "SIGTERM"
        assert events[-1] == "ended"
        answered = [line for line in process.log if line.get("path") == "/embed"]
        assert [line["status"] for line in answered] == [200] * requests
        assert answered[-1] in process.log[place:]  # so that there was something to drain
        with pytest.raises(ConnectionRefusedError):
            asked(address, "/health")
    finally:
        process.kill()


def accepted(address: str) -> float:
    """Tokens that were computed, and those that wait for it."""
    status, page = asked(address, "/metrics")
    assert status == 200
    lines = [line.split() for line in page.splitlines()]
    names = ('bertsmith_queue_tokens{model="encoder"}', 'bertsmith_batch_tokens_sum{model="encoder"}')
    return sum(float(line[1]) for line in lines if line[0] in names)


SLOW = """
import sys
from bertsmith.serving import kinds

plain = kinds.open_model

def slow(*words, **how):
    print('{"event": "opening"}', file=sys.stderr, flush=True)
    sys.stdin.readline()
    return plain(*words, **how)

kinds.open_model = slow
from bertsmith.cli import main
main()
"""


def test_it_may_be_ended_before_it_is_ready(model_folder: Folder) -> None:
    """While it opens its models, which may take minutes where they are downloaded."""
    process = Process("serve", "--model", str(model_folder("embed")), command=("-c", SLOW))
    try:
        process.logged("opening")
        process.signal(signal.SIGTERM)
        assert process.process.stdin is not None
        try:
            process.process.stdin.write("\n")
            process.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended
        while line := process.next():
            assert line["event"] != "ready"
        process.process.wait(SAFETY)
    finally:
        process.kill()


def test_a_hangup_before_it_is_ready_is_overlooked(model_folder: Folder) -> None:
    """There is nothing to open anew yet; the signal's own way is to end the process."""
    process = Process("serve", "--model", str(model_folder("embed")), command=("-c", SLOW))
    try:
        process.logged("opening")
        process.signal(signal.SIGHUP)
        assert process.process.stdin is not None
        process.process.stdin.write("\n")
        process.process.stdin.flush()
        process.logged("ready")
    finally:
        process.kill()


# What is refused in a line


@pytest.fixture
def _as_before() -> Iterator[None]:
    """What serving changes in a process is put back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    states = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    for logger, (held, level, propagate) in zip(loggers, states, strict=True):
        logger.handlers, logger.propagate = held, propagate
        logger.setLevel(level)


pytestmark = pytest.mark.usefixtures("_as_before")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "give a --model to serve, such as --model starter, or an --index"),
        ("--model {place}/nix", "{place}/nix: there is no such folder"),
        ("--model {place}", "{place}: is no checkpoint, it has no config.json"),
        ("--model ok={embed} --model {place}/nix --engine torch", "{place}/nix: there is no such folder"),
        ("--model {embed} --model {place}/embed", "two --model are named 'embed'; name them: --model NAME=FOLDER"),
        ("--model a={embed} --model a={place}/embed", "two --model are named 'a'; name them: --model NAME=FOLDER"),
        ("--model {embed} --model {embed}", "two --model are named 'embed'; name them: --model NAME=FOLDER"),
        ("--model ={embed}", "--model '={embed}': give a folder, or NAME=FOLDER"),
        ("--model a=", "--model 'a=': give a folder, or NAME=FOLDER"),
        ("--index {place}", "{place}: holds no index; make one with: bertsmith index"),
        ("--model {embed} --port 65536", "--port is 65536; give a number from 0 to 65535"),
        ("--model {embed} --port=-1", "--port is -1; give a number from 0 to 65535"),
        ("--model {embed} --port http", '"http"'),
        ("--model {embed} --host 203.0.113.7", "cannot serve on 203.0.113.7, port 0: "),
        ("--model {embed} --api-key-file {place}/none.txt", "--api-key-file {place}/none.txt: holds no key"),
        ("--model {embed} --api-key-file {place}/nix.txt", "--api-key-file {place}/nix.txt: cannot be read ("),
        ("--model {embed} --max-wait 0", "--max-wait is 0.0; give a number over 0"),
        ("--model {embed} --max-body 0", "--max-body is 0; give a number over 0"),
        ("--model {embed} --drain -1", "--drain is -1.0; give a number over 0"),
        ("--model {embed} --threads 0", "--threads is 0; it must be 1 or more"),
        ("--model {embed} --modle a", "Unknown option: --modle. Did you mean --model?"),
        ("--model {fill} --precision int8", "{fill}: is not served in int8, for it fills in words"),
        ("--model {embed} --engine torch --precision int8", "--precision int8 is computed by OpenVINO"),
    ],
)
def test_a_command_that_cannot_serve(
    words: str, message: str, model_folder: Folder, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "embed").mkdir()
    (tmp_path / "none.txt").write_text("# none yet\n\n")
    known = {"place": tmp_path, "embed": model_folder("embed"), "fill": model_folder("fill")}
    port = [] if "--port" in words else ["--port", "0"]
    told = refused(["serve", *words.format(**known).split(), *port], capfd)
    assert message.format(**known) in told


def test_a_port_that_is_taken(model_folder: Folder, capfd: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        told = refused(["serve", "--model", str(model_folder("embed")), "--port", str(port)], capfd)
    assert told == (f"cannot serve on 127.0.0.1, port {port}: Address already in use; give another --host or --port")


def test_int8_that_nobody_exported(model_folder: Folder, capfd: Capture) -> None:
    pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
    folder = model_folder("classify")
    told = refused(["serve", "--model", str(folder), "--precision", "int8", "--port", "0"], capfd)
    assert told.startswith(f"{folder}: has no export in int8; make one, which is scored: bertsmith export")


def test_a_package_that_is_not_installed(model_folder: Folder, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "NEEDED", (*stage.NEEDED, "no_such_package", "nor_this"))
    told = refused(["serve", "--model", str(model_folder("embed")), "--port", "0"], capfd)
    assert told == "serve needs no_such_package, nor_this; pip install 'bertsmith[serve]'"


def test_a_key_in_the_environment_that_no_header_can_hold(
    model_folder: Folder, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTSMITH_API_KEY", "s3cret one")
    told = refused(["serve", "--model", str(model_folder("embed")), "--port", "0"], capfd)
    assert "no header can hold" in told
    assert "s3cret" not in told


def test_an_index_that_was_made_with_another_model(indexed: Place, tmp_path: Path, capfd: Capture) -> None:
    index = ["serve", "--index", str(indexed.index), *EXACT, "--port", "0"]
    other = changed_model(indexed.model, tmp_path / "deep" / "encoder")
    told = refused([*index, "--model", str(other)], capfd)
    assert told == f"--index idx: its model {indexed.model} is not the --model 'encoder'; name that otherwise"
    changed_model(indexed.model, indexed.model)
    assert refused(index, capfd).startswith(f"{indexed.index}: made with another model, ")
    shutil.rmtree(indexed.model)
    TaskModel.open(other).save(tmp_path / "elsewhere")
    assert str(indexed.model) in refused(index, capfd)
    assert str(indexed.model) in refused([*index, "--model", str(tmp_path / "elsewhere")], capfd)
