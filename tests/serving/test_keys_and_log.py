"""Who may ask, and what is written down of it: keys, and the log, which has neither keys nor texts."""

from __future__ import annotations

import io
import json
import os
import re
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.errors import SettingsError
from bertsmith.serving import keys as keys_module
from bertsmith.serving.journal import Journal, LogForm
from bertsmith.serving.keys import VARIABLE, Keys

from .running import Running, message_of, running

Folder = Callable[[str], Path]

# Keys


def read(content: str | bytes | None, path: Path, environment: dict[str, str] | None = None) -> Keys:
    """The keys of a file of this content, or of no file."""
    if content is None:
        return Keys.read(None, environment or {})
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Keys.read(path, environment or {})


@pytest.mark.parametrize(
    ("content", "environment", "taken"),
    [
        (None, None, []),
        (None, "", []),
        (None, " , ,", []),
        (None, "one", ["one"]),
        (None, " one , two,", ["one", "two"]),
        ("one", None, ["one"]),
        ("one\ntwo\n", None, ["one", "two"]),
        ("one\r\n\r\ntwo\r\n", None, ["one", "two"]),
        ("# of the team\n\n  one  \n\t# two\n#three\nfo#ur\n\n", None, ["one", "fo#ur"]),
        ("one\n", "two,three", ["one", "two", "three"]),
        ("sk-A_b.c/d+e=!~\n", None, ["sk-A_b.c/d+e=!~"]),
    ],
)
def test_keys_of_a_file_and_of_the_environment(
    content: str | None, environment: str | None, taken: list[str], tmp_path: Path
) -> None:
    keys = read(content, tmp_path / "keys.txt", {} if environment is None else {VARIABLE: environment})
    assert bool(keys) == bool(taken)
    for key in taken:
        assert keys.accept(key.encode())
        for other in (key[:-1], key + "x", key.upper(), f" {key}", f"{key}\n", f"#{key}"):
            assert keys.accept(other.encode()) == (other in taken)
    for other in ("", "#", "# two", "three" * ("three" not in taken), "of the team", ",", "one,two"):
        assert not keys.accept(other.encode())
    assert not keys.accept(b"\xff\xfe")


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not Keys.read(None)
    monkeypatch.setenv(VARIABLE, "one")
    assert Keys.read(None).accept(b"one")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no key; write one a line"),
        ("\n \t\n", "holds no key; write one a line"),
        ("# one\n  # s3cret\n", "holds no key; write one a line"),
        (b"\xff\xfes3cret\n", "cannot be read ("),
        ("s3cret with spaces\n", "no header can hold"),
        ("s3cret\twith a tab\n", "no header can hold"),
        ("s3cretä\n", "no header can hold"),
        ("s3cret\x7f\n", "no header can hold"),
        ("fine\ns3cr\x00et\n", "no header can hold"),
        ("\ufeffs3cret\n", "no header can hold"),
    ],
)
def test_a_file_that_is_not_taken(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    with pytest.raises(SettingsError) as caught:
        read(content, path, {VARIABLE: "other"})
    told = str(caught.value)
    assert message in told
    assert "\n" not in told
    assert "s3cr" not in told
    if "header" not in message:
        assert told.startswith(f"--api-key-file {path}: ")


def test_a_file_that_is_not_there_and_a_key_of_the_environment_that_cannot_be(tmp_path: Path) -> None:
    for path in (tmp_path / "nix.txt", tmp_path):
        with pytest.raises(SettingsError, match=re.escape(f"--api-key-file {path}: cannot be read (")):
            Keys.read(path, {VARIABLE: "other"})
    with pytest.raises(SettingsError, match="no header can hold") as caught:
        Keys.read(None, {VARIABLE: "fine,s3cr et"})
    assert "s3cr" not in str(caught.value)


def test_every_key_is_compared_whichever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the time that it takes tells nothing."""
    compared: list[bytes] = []
    compare = keys_module.hmac.compare_digest

    def comparing(given: bytes, key: bytes) -> bool:
        compared.append(key)
        return compare(given, key)

    monkeypatch.setattr(keys_module.hmac, "compare_digest", comparing)
    keys = Keys(["one", "two", "three"])
    for given, taken in ((b"one", True), (b"three", True), (b"nix", False), (b"", False)):
        assert keys.accept(given) is taken
        assert compared == [b"one", b"two", b"three"]
        compared.clear()


# The log


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def written(form: LogForm, *events: tuple[str, dict[str, Any]]) -> list[str]:
    """The lines of these events, written to a pipe and to memory."""
    end, begin = os.pipe()
    memory = io.StringIO()
    with os.fdopen(begin, "w") as stream:
        for journal in (Journal(form, stream), Journal(form, memory)):
            for event, facts in events:
                journal.tell(event, **facts)
    with os.fdopen(end, encoding="utf-8", newline="") as reading:
        text = reading.read()
    same = memory.getvalue().encode(errors="backslashreplace").decode()
    assert re.sub(TIME, "", text) == re.sub(TIME, "", same)
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def test_a_log_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.1239)
    facts = {"text": 'a "b"\nc\u2028ä', "none": None, "zero": 0, "rows": [1, {"a": None}], "number": np.float32(0.5)}
    (line,) = written("json", ("request", {**facts, "path": Path("/a"), "error": ValueError("b")}))
    told = json.loads(line)
    assert list(told)[:3] == ["time", "level", "event"]
    assert told.pop("time") == "2023-11-14T22:13:20.123Z"
    del facts["none"]
    expected = {"level": "info", "event": "request", **facts, "number": 0.5, "path": "/a", "error": "b"}
    assert told == expected


def test_a_log_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.007)
    lines = written(
        "text", ("ended", {}), ("request", {"status": 200, "ms": 1.26, "model": None}), ("error", {"level": "error"})
    )
    assert lines == [
        "2023-11-14T22:13:20.007Z  ended",
        "2023-11-14T22:13:20.007Z  request  status 200  ms 1.3",
        "2023-11-14T22:13:20.007Z  error",
    ]


def test_a_log_of_nothing_but_warnings() -> None:
    lines = written(
        "off",
        ("ready", {}),
        ("reload failed", {"level": "error", "model": "a"}),
        ("request", {"status": 200}),
        ("uvicorn.error", {"level": "warning", "message": "odd"}),
    )
    assert [line.split("  ", 1)[1] for line in lines] == ["reload failed  model a", "uvicorn.error  message odd"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_event_is_a_line_whatever_strangers_send(form: LogForm) -> None:
    """Who could begin a new line could write a log of his own."""
    forged = "/a\n2023-11-14T22:13:20.007Z  request  status 200\r\x1b[2Kb"
    (line,) = written(form, ("request", {"path": forged, "shown": {"inputs": [forged]}}))
    assert not set(line) & set("\r\x1b\x85\u2028")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("value", ["/models/\udcff", {"a": "\udcff"}, 10**30, {3: "a"}, float("nan"), "\0"])
def test_a_value_that_json_cannot_hold_is_told_somehow(form: LogForm, value: Any) -> None:
    (line,) = written(form, ("reload failed", {"model": "mine", "error": value}))
    assert "mine" in line
    if form == "json":
        assert json.loads(line)["model"] == "mine"


def test_who_reads_the_log_may_go(capfd: pytest.CaptureFixture[str]) -> None:
    end, begin = os.pipe()
    stream = os.fdopen(begin, "w")
    journal = Journal("json", stream)
    journal.tell("ready")
    os.close(end)
    for _ in range(3):
        journal.tell("request", shown="a" * 100_000)
    with suppress(OSError):
        stream.close()
    closed = io.StringIO()
    journal = Journal("text", closed)
    closed.close()
    journal.tell("request")
    Journal("text").tell("to the error stream")
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.endswith("  to the error stream\n")


def test_who_reads_the_log_may_be_slow() -> None:
    """More than a pipe holds, and nobody takes it: lines are lost, and requests are not."""
    end, begin = os.pipe()
    stream = os.fdopen(begin, "w")
    journal = Journal("json", stream)

    def tell() -> None:
        for number in range(20):
            journal.tell("request", number=number, shown="a" * 10_000)

    telling = threading.Thread(target=tell)
    telling.start()
    telling.join(5)
    stands = telling.is_alive()
    told = b""
    while telling.is_alive() or select.select([end], [], [], 0)[0]:
        told += os.read(end, 4096)
    assert not stands
    journal.tell("later")
    journal.tell("at last")
    stream.close()
    with os.fdopen(end, "rb") as reading:
        told += reading.read()
    whole = []
    for line in told.splitlines():
        with suppress(json.JSONDecodeError):
            whole.append(json.loads(line))
    numbers = [line["number"] for line in whole[:-2]]
    assert 1 <= len(numbers) < 20
    assert numbers == list(range(len(numbers)))
    assert [line["event"] for line in whole[-2:]] == ["later", "at last"]
    assert len(told.splitlines()) <= len(whole) + 1  # at most one was cut


# The log of a server

MARK = "zebra7 the cat"  # in every text that is asked
KEY, WRONG = "s3cret-of-mine", "wr0ng-of-theirs"


@pytest.fixture(scope="module")
def open_log(model_folder: Folder) -> Iterator[Running]:
    """A server that logs texts, and has keys."""
    models = {name: model_folder(name) for name in ("embed", "classify")}
    with running(models, keys=(KEY,), log_texts=True) as started:
        started.client.headers["authorization"] = f"Bearer {KEY}"
        yield started


def logged(server: Running, response: Any) -> dict[str, Any]:
    """The line of a request."""
    return server.logged("request", id=response.headers["x-request-id"])


def test_a_request_is_a_line(server: Running) -> None:
    began = datetime.now(UTC)
    response = server.client.post("/embed", json={"inputs": ["a cat", "the dog sat", "good"]})
    line = logged(server, response)
    assert line.pop("time") >= began.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    times = {name: line.pop(name) for name in [name for name in line if name.endswith("ms")]}
    assert line == {
        "level": "info",
        "event": "request",
        "id": response.headers["x-request-id"],
        "method": "POST",
        "path": "/embed",
        "status": 200,
        "client": "127.0.0.1",
        "model": "embed",
        "texts": 3,
        "tokens": sum(map(len, server.post("/tokenize", {"inputs": ["a cat", "the dog sat", "good"]}))),
    }
    parts = [times.pop(name) for name in ("tokenize_ms", "queue_ms", "compute_ms")]
    assert min(parts) >= 0
    (whole,) = times.values()
    assert sum(parts) <= whole + 0.02  # rounded each

    line = logged(server, server.client.get("/info?model=embed"))
    assert (line["method"], line["path"]) == ("GET", "/info")
    assert not {"texts", "tokens", "tokenize_ms", "error", "shown"} & set(line)

    line = logged(server, server.client.post("/embed", json={"inputs": "a", "dimensions": 99}))
    assert (line["status"], line["error"], line["level"]) == (422, "Validation", "info")
    assert line["reason"] == "dimensions: is 99, and vectors have 32; give 1 to 32"


def test_what_is_asked_every_few_seconds_is_not_logged(server: Running) -> None:
    for path in ("/health", "/metrics"):
        assert server.client.get(path).status_code == 200
        assert logged(server, server.client.post(path))["status"] == 405
        assert not [line for line in server.log if line.get("path") == path and line["status"] == 200]


LONG = f"{MARK} " * 100
ASKED: list[tuple[str, Any]] = [
    *[(route, {"inputs": MARK}) for route in ("/embed", "/tokenize", "/tag", "/predict")],
    *[(f"/models/{name}", {"inputs": MARK}) for name in ("embed", "classify", "regress", "tag")],
    ("/v1/embeddings", {"input": [MARK, MARK], "model": "embed"}),
    ("/similarity", {"inputs": {"source_sentence": MARK, "sentences": [MARK, "a"]}}),
    ("/rerank", {"query": MARK, "texts": [MARK, "a"], "return_text": True}),
    ("/answer", {"question": MARK, "context": MARK}),
    ("/choose", {"prompt": MARK, "endings": [MARK, "a"]}),
    ("/fill", {"inputs": f"{MARK} [MASK]"}),
    ("/attention", {"text": MARK, "text_pair": MARK}),
]
REFUSED: list[tuple[str, Any]] = [
    *[(route, {"inputs": LONG}) for route in ("/embed", "/predict", "/fill", "/models/classify")],
    ("/embed", {"inputs": f"{MARK}\0"}),
    ("/embed", {"inputs": {MARK: MARK}}),
    ("/embed", {"inputs": [MARK, 3]}),
    ("/embed", {"texts": MARK}),
    ("/v1/embeddings", {"input": MARK, "encoding_format": MARK}),
    ("/v1/embeddings", {"input": MARK, "dimensions": MARK}),
    ("/predict", {"inputs": [MARK, [MARK, MARK]]}),
    ("/predict", {"inputs": [[MARK, MARK, MARK]]}),
    ("/models/pairs", {"inputs": MARK}),
    ("/models/embed", {"inputs": {MARK: 3}}),
    ("/fill", {"inputs": MARK}),
    ("/search", {"query": MARK}),
    ("/answer", {"question": MARK}),
    ("/rerank", {"query": MARK, "texts": MARK}),
    ("/rerank", {"query": MARK, "texts": [LONG]}),
    ("/choose", {"prompt": MARK, "endings": [MARK]}),
    ("/attention", {"text": LONG}),
    ("/embed", MARK),
    ("/embed", [MARK]),
]


@pytest.mark.parametrize(("route", "body"), ASKED + REFUSED)
def test_no_text_is_in_the_log(server: Running, route: str, body: Any) -> None:
    lines = len(server.log)
    response = server.client.post(route, json=body)
    assert response.status_code == 200 if (route, body) in ASKED else 400 <= response.status_code < 500, response.text
    assert logged(server, response)["status"] == response.status_code
    assert "zebra7" not in json.dumps(server.log[lines:])


def test_no_text_is_in_the_log_of_what_is_no_json(server: Running) -> None:
    lines = len(server.log)
    for body in (f'{{"inputs": "{MARK}', f'{{"inputs": {MARK}}}', MARK, f'{{"inputs": "{MARK}"}} {MARK}'):
        for kind in ("application/json", "text/plain"):
            response = server.client.post("/embed", content=body, headers={"content-type": kind})
            assert response.status_code in (400, 415)
            assert "zebra7" not in message_of(response.json())
            assert logged(server, response)["status"] == response.status_code
    assert "zebra7" not in json.dumps(server.log[lines:])


def test_texts_are_in_the_log_where_that_is_asked_for(open_log: Running) -> None:
    for route, body, status in (
        ("/embed", {"inputs": [MARK, "a"], "truncate": True}, 200),
        ("/v1/embeddings", {"input": MARK, "model": "embed"}, 200),
        ("/predict", {"inputs": MARK}, 200),
        ("/models/classify", {"inputs": MARK, "parameters": {"top_k": 2}}, 200),
        ("/embed", {"inputs": LONG}, 413),
    ):
        response = open_log.client.post(route, json=body)
        assert response.status_code == status
        assert logged(open_log, response)["shown"] == body
    assert "shown" not in logged(open_log, open_log.client.get("/info"))


@pytest.mark.parametrize("inputs", ['"\\ud800"', str(10**30), "[" * 300 + "]" * 300])
def test_whatever_is_asked_is_logged(open_log: Running, inputs: str) -> None:
    """Values that JSON's text can have and the log's JSON cannot."""
    lines = len(open_log.log)
    response = open_log.client.post(
        "/models/classify", content=f'{{"inputs": {inputs}}}', headers={"content-type": "application/json"}
    )
    assert 400 <= response.status_code < 500
    assert message_of(response.json())
    assert logged(open_log, response)["status"] == response.status_code
    assert not [line for line in open_log.log[lines:] if line["event"] != "request"]


def test_no_key_is_in_the_log_or_in_an_answer(open_log: Running) -> None:
    for headers in (
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"Bearer {WRONG}"},
        {"authorization": f"Basic {WRONG}"},
        {"authorization": f"{WRONG}"},
        {"authorization": "", "x-api-key": KEY},
        {"authorization": "", "x-api-key": WRONG},
        {"authorization": f"Bearer {WRONG}", "x-api-key": KEY},
    ):
        for method, route, body in (
            ("POST", "/embed", {"inputs": "a cat"}),
            ("POST", "/embed", {"inputs": 3}),
            ("POST", "/v1/embeddings", {"input": "a cat"}),
            ("GET", "/metrics", None),
            ("GET", "/", None),
        ):
            response = open_log.client.request(method, route, json=body, headers=headers)
            if method == "POST":
                assert logged(open_log, response)["status"] == response.status_code
            told = response.text + str(response.headers)
            assert KEY not in told
            assert WRONG not in told
    told = json.dumps(open_log.log)
    assert KEY not in told
    assert WRONG not in told


@pytest.mark.parametrize("path", ["/a%0Ab", "/a%0D%0Ab", "/%1b[2Ka", "/%00", "/%ff"])
def test_a_path_of_any_bytes_is_refused_in_a_line(server: Running, path: str) -> None:
    response = server.client.get(path)
    assert response.status_code == 404
    assert not set(message_of(response.json())) & set("\r\x1b\0")
    assert logged(server, response)["status"] == 404
