"""Hostile requests: each is refused in one line of JSON, and nobody else notices.

The requests of a family are sent to one server of all tasks, while a crowd asks well. Every family ends with the checks
of `siege`: the crowd was answered right, the server is healthy and unsurprised, and has counted what it refused.
"""

from __future__ import annotations

import gzip
import json
import logging
import random
import string
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from bertsmith.serving.limits import Limits
from bertsmith.serving.routes import openai, operations, pipelines, tasks, tei

from ..stages.indexes import Place
from ..tiny_models import TASKS
from .hostile import (
    SECRET,
    Crowd,
    Reply,
    chunked,
    connect,
    exchange,
    head,
    open_files,
    places,
    post,
    read_all,
    replaced,
    replies_of,
    same,
    threads,
    until,
)
from .running import Running, message_of, running

TEXT = f"the {SECRET} cat"
GOOD = {"inputs": "the cat"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {
        "model": "embed", "input": [TEXT], "encoding_format": "float", "dimensions": 8, "truncate": False,
        "prompt_name": None,
    },
    "/embed": {
        "model": "embed", "inputs": [TEXT], "truncate": False, "normalize": True, "prompt_name": None, "dimensions": 8,
    },
    "/similarity": {
        "model": "embed",
        "inputs": {"source_sentence": TEXT, "sentences": [TEXT, "a"]},
        "parameters": {"truncate": False, "prompt_name": None},
    },
    "/predict": {"model": "pairs", "inputs": [[TEXT, "a"]], "raw_scores": False, "truncate": False},
    "/rerank": {
        "model": "rerank", "query": TEXT, "texts": [TEXT, "a"], "raw_scores": False, "return_text": False,
        "truncate": False,
    },
    "/tokenize": {"model": "embed", "inputs": [TEXT], "add_special_tokens": True},
    "/decode": {"model": "embed", "ids": [[5, 6], [7]], "skip_special_tokens": True},
    "/tag": {"model": "tag", "inputs": [["the", SECRET]], "truncate": False},
    "/answer": {
        "model": "answer", "question": "who", "context": TEXT, "inputs": [{"question": "who", "context": TEXT}],
        "truncate": False,
    },
    "/choose": {"model": "choose", "prompt": TEXT, "endings": [TEXT, "a"], "truncate": False},
    "/fill": {"model": "fill", "inputs": f"{TEXT} [MASK]", "top_k": 3},
    "/search": {"index": "films", "query": TEXT, "top": 3, "rerank": "rerank"},
    "/attention": {"model": "embed", "text": "the cat", "text_pair": SECRET},
    "/": {"inputs": TEXT, "parameters": {"top_k": 2}},
    "/models/embed": {"inputs": [TEXT], "parameters": {"dimensions": 8, "prompt_name": None, "normalize": True}},
    "/models/answer": {"inputs": {"question": "who", "context": TEXT}, "parameters": {}},
    "/models/tag": {"inputs": TEXT, "parameters": {}},
    "/models/fill": {"inputs": f"{TEXT} [MASK]", "parameters": {"top_k": 2}},
}  # fmt: skip
NAMES = ("model", "index", "rerank", "prompt_name", "encoding_format")  # fields that are no texts
ROUTES = [route for held in (openai, tei, tasks, pipelines, operations) for route in held.router.routes]


class Siege:
    """A server of all tasks, the crowd, and what was refused."""

    def __init__(self, server: Running, crowd: Crowd) -> None:
        self.server = server
        self.crowd = crowd
        self.files, self.threads = open_files(), threads()
        self.told = 0.0  # refusals that were heard
        self.exact = True  # whether everything that was refused was heard of

    def send(self, *parts: bytes, **how: bool) -> list[Reply]:
        """What is said to bytes."""
        replies = exchange(self.server, *parts, **how)
        self.told += sum(reply.status >= 400 for reply in replies)
        return replies

    def refused(self, *parts: bytes, **how: bool) -> tuple[int, str]:
        """The status and the message of the one refusal that bytes are answered with."""
        (reply,) = self.send(*parts, **how)
        return reply.status, reply.told

    @property
    def counted(self) -> float:
        """Refusals, but those that nobody was there to hear."""
        samples = [sample for metric in self.server.service.meters.errors.collect() for sample in metric.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "bertsmith_errors_total" and sample.labels["kind"] != "ClientGone"
        )

    @property
    def log(self) -> str:
        return self.server._log.getvalue()


@pytest.fixture(scope="module")
def besieged(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    place = Place(tmp_path_factory.mktemp("index"), model_folder("embed"))
    place.change({number: f"the cat {word}" for number, word in enumerate(string.ascii_lowercase)})
    folders = {name: model_folder(name) for name in [*TASKS, "fill"]}
    patient = Limits(max_wait=600)  # so that the crowd is never refused for the work that others make
    with running(folders, indexes={"films": (place.index, "embed")}, limits=patient) as server:
        asked: list[tuple[str, Any]] = [
            ("/embed", {"inputs": ["the cat sat", "a good day"]}),
            ("/predict", {"inputs": "it was a sad film"}),
            ("/tag", {"inputs": "where sad Ada sad good film"}),
            ("/search", {"query": "the cat x", "top": 3}),
            ("/tokenize", {"inputs": "the cat"}),
            ("/answer", {"question": "who", "context": "the cat sat on the mat"}),
        ]
        crowd = Crowd(server, asked)
        try:
            assert server.client.get("/health").status_code == 200
            yield Siege(server, crowd)
        finally:
            crowd.close()


@pytest.fixture
def siege(besieged: Siege, caplog: pytest.LogCaptureFixture) -> Iterator[Siege]:
    """The server before a family of requests, and the checks after it."""
    told, counted, logged = besieged.told, besieged.counted, len(besieged.log)
    besieged.exact = True
    yield besieged
    besieged.crowd.check()
    assert besieged.server.client.get("/health").json() == {"status": "ready"}
    if besieged.exact:
        assert until(lambda: besieged.counted - counted == besieged.told - told), besieged.counted - counted
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    log = besieged.log[logged:]
    assert SECRET not in log
    lines = [json.loads(line) for line in log.split("\n")[:-1]]
    assert [line for line in lines if line["level"] != "info"] == []
    assert [line for line in lines if line.get("status", 0) >= 500] == []


# Bodies that are no JSON


def test_the_bodies_that_are_spoiled_below_are_good(siege: Siege) -> None:
    """And name every field of every route."""
    models = {route.path: model_of(route) for route in ROUTES if "POST" in route.methods}
    paths = {path if not path.startswith("/models/") else "/models/{name:path}" for path in BODIES}
    assert paths == set(models) - {"/embeddings", "/reload"}
    for path, body in BODIES.items():
        model = models["/models/{name:path}" if path.startswith("/models/") else path]
        assert set(body) == set(model.model_fields)
        (reply,) = siege.send(post(path, body))
        assert reply.status == 200, reply


def model_of(route: Any) -> type[BaseModel]:
    model: type[BaseModel] = route.body_field.field_info.annotation
    return model


BROKEN = {
    "nothing": b"",
    "a space": b" ",
    "no value": b'{"inputs":}',
    "no end": b'{"inputs": "zanzibar"',
    "no end of a text": b'{"inputs": "' + b"zanzibar " * 100_000,
    "too many ends": b'{"inputs": "a"}}',
    "two bodies": b'{"inputs": "a"} {"inputs": "a"}',
    "a comma too many": b'{"inputs": ["a",]}',
    "a comma at the end": b'{"inputs": "a",}',
    "single quotes": b"{'inputs': 'a'}",
    "no quotes": b"{inputs: zanzibar}",
    "a comment": b'{"inputs": "a"} // zanzibar',
    "a form": b"inputs=zanzibar&truncate=true",
    "yaml": b"inputs: zanzibar\n",
    "xml": b"<inputs>zanzibar</inputs>",
    "a raw line break": b'{"inputs": "a\nzanzibar"}',
    "a raw NUL": b'{"inputs": "a\0zanzibar"}',
    "a NUL behind": b'{"inputs": "a"}\0',
    "an unknown escape": rb'{"inputs": "\x41"}',
    "half an escape": rb'{"inputs": "\u12"}',
    "an end in an escape": b'{"inputs": "zanzibar\\',
    "a bad number": b'{"inputs": 01}',
    "a number too long": b'{"inputs": %b}' % (b"9" * 5000),
    "a misspelt null": b'{"inputs": nul}',
    "not a number, misspelt": b'{"inputs": nan}',
    "lists too deep": b"[" * 100_000,
    "lists too deep and closed": b'{"inputs": %b%b}' % (b"[" * 100_000, b"]" * 100_000),
    "objects too deep": b'{"inputs": ' * 100_000,
    "objects too deep in anything": b'{"inputs": "a", "parameters": %b1%b}' % (b'{"a":' * 9999, b"}" * 9999),
    "a byte order mark": b'\xef\xbb\xbf{"inputs": "a"}',
    "half a character": b'{"inputs": "\xc3"}',
    "a character too long": b'{"inputs": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"inputs": "\xed\xa0\x80"}',
    "beyond Unicode": b'{"inputs": "\xf5\x80\x80\x80"}',
    "latin-1": '{"inputs": "café"}'.encode("latin-1"),
    **{code: json.dumps(GOOD).encode(code) for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037")},
    "utf-7": '{"inputs": "é"}'.encode("utf-7").replace(b'"', b"+ACI-"),
    "gzip": gzip.compress(json.dumps(GOOD).encode()),
    "ones and zeros": bytes(range(256)),
}  # fmt: skip


def test_broken_json(siege: Siege) -> None:
    for path in ("/embed", "/v1/embeddings", "/models/embed"):
        for name, body in BROKEN.items():
            status, told = siege.refused(post(path, body))
            assert (status, told.startswith("the body is no JSON: ")) == (400, True), name


def test_json_that_ends_too_early(siege: Siege) -> None:
    for path in ("/embed", "/answer", "/models/tag"):
        body = json.dumps(BODIES[path]).encode()
        for size in range(0, len(body), 3):
            assert siege.refused(post(path, body[:size]))[0] == 400


@pytest.mark.parametrize("path", ["/embed", "/predict", "/similarity"])
def test_json_with_some_bytes_changed(siege: Siege, path: str) -> None:
    """Where it happens to be JSON still, it may fit or not; there are no surprises either way."""
    chance = random.Random(path)
    whole = json.dumps(BODIES[path]).encode()
    broken = 0
    for _ in range(60):
        body = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            body[chance.randrange(len(body))] = chance.choice(b'{}[]",:0\\e-\xff\x00 ')
        try:
            json.loads(body)
        except ValueError:
            broken += 1
            assert siege.refused(post(path, bytes(body)))[0] == 400, bytes(body)
        else:
            (reply,) = siege.send(post(path, bytes(body)))
            assert reply.status in (200, 404, 422), (bytes(body), reply)
    assert broken > 30


def test_other_kinds_of_bodies(siege: Siege) -> None:
    body = json.dumps(GOOD).encode()
    for kind in (
        "", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "application/jsonx",
        "multipart/form-data; boundary=x", "application/octet-stream", "*/*", "a" * 10_000, "application/ json",
        "application/json, text/plain", "json", "application/problem+json",
    ):  # fmt: skip
        told = siege.refused(post("/embed", body, kind=kind))
        assert told == (415, "the body is to be JSON; send the header Content-Type: application/json")
    no_kind = head("POST", "/embed", f"content-length: {len(body)}") + body
    assert siege.refused(no_kind)[0] == 415
    zipped = gzip.compress(body)
    assert siege.refused(post("/embed", zipped, "content-encoding: gzip"))[0] == 400
    for kind in ("application/json;charset=utf-8", "Application/JSON", "application/json ; a=b"):
        (reply,) = siege.send(post("/embed", body, kind=kind))
        assert reply.status == 200


# Bodies that do not fit


WRONG: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, -(10**400), float("nan"), float("inf"), "", "\u2028", "x" * 5000, [], {}, [None],
    [{}], [[]], [[[]]], {"a": 1}, [["a"], "b"], [0.5], ["a", 1], [1, "a"], [[1], ["a"]], {"question": 1},
    {"source_sentence": []},
]  # fmt: skip


@pytest.mark.parametrize("path", BODIES)
def test_wrong_types(siege: Siege, path: str) -> None:
    """In every field, and in every value of the lists and objects in it, some of those above."""
    chance = random.Random(path)
    name = "/models/{name:path}" if path.startswith("/models/") else path
    model = next(model_of(route) for route in ROUTES if route.path == name and "POST" in route.methods)
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    refused = 0
    for place, _ in places(BODIES[path]):
        for wrong in chance.sample(WRONG, 9):
            body = json.dumps(replaced(BODIES[path], place, wrong)).encode()
            (reply,) = siege.send(post(path, body))
            try:
                adapter.validate_json(body)
            except ValidationError as error:
                refused += 1
                assert reply.status == 422
                field = error.errors()[0]["loc"][0]
                given = model.model_fields[str(field)].description
                assert reply.told.startswith(f"{field}"), reply
                assert reply.told.endswith(f"does not fit; give {given}")
            else:  # what pydantic takes for the type that is asked for, such as a null, or what a task judges itself
                assert reply.status == 200 or (reply.status in (404, 413, 422) and reply.told), (place, wrong, reply)
    assert refused >= (5 if "parameters" in BODIES[path] else 20)


def test_what_is_no_object_and_what_lacks_a_field(siege: Siege) -> None:
    for path in BODIES:
        for wrong in (None, True, 5, 1.5, "a", [], [1], [{}], [BODIES[path]]):
            assert siege.refused(post(path, wrong)) == (422, "the body is to be a JSON object; see /docs")
        status, told = siege.refused(post(path, {"Inputs": TEXT, "": 1, "\u2028": {}, "a" * 9999: [SECRET]}))
        assert status == 422
        missing = "give a question and a context, or inputs with a list of them"
        assert told == missing if path == "/answer" else ": is missing; give " in told
        twice = json.dumps(BODIES[path])[:-1] + ", " + ", ".join(f'"{name}": {{"a": 5}}' for name in BODIES[path]) + "}"
        assert siege.refused(post(path, twice.encode()))[0] == 422  # the last of a name counts


def texts_of(path: str) -> list[tuple[Any, ...]]:
    """Places of a body's texts, and of names of things."""
    return [place for place, value in places(BODIES[path]) if isinstance(value, str)]


def test_lone_surrogates(siege: Siege) -> None:
    for path in BODIES:
        found = [*texts_of(path), ("nobody knows",)]
        for place in found:
            for text in ("\ud800", f"{SECRET} \udfff cat", "\udc00\ud800", "a\ud83d"):
                status, told = siege.refused(post(path, replaced({**BODIES[path], "nobody knows": 1}, place, text)))
                assert status == 400
                assert told.startswith("the body is no JSON: ")
        if path.startswith("/models/") or path == "/":
            assert siege.refused(post(path, {**BODIES[path], "parameters": {"\ud800": "\udfff"}}))[0] == 400


def test_nul_characters(siege: Siege) -> None:
    for path in BODIES:
        for place in texts_of(path):
            body = BODIES[path]
            if place in (("question",), ("context",)):  # which are not read beside inputs
                body = {**body, "inputs": None}
            for text in ("\0", f"{SECRET}\0cat", "cat" * 1000 + "\0"):
                name = place[0] in NAMES or place[-1] in NAMES
                text = text.replace(SECRET, "cat") if name else text
                status, told = siege.refused(post(path, replaced(body, place, text)))
                assert status == (404 if name and place[0] != "encoding_format" else 422)
                assert name or told.endswith(": has a NUL character, as binary data has; send text"), place


# Too much


LARGE = b'{"inputs": "%b"}' % (SECRET.encode() + b" ") * 1_111_111  # 10 MB


def test_large_bodies(siege: Siege) -> None:
    for path in ("/embed", "/v1/embeddings", "/nowhere", "/reload"):
        assert len(LARGE) > 10_000_000
        wanted = (413, f"the body has {len(LARGE):,} bytes, and a request may have 2,000,000; send several")
        assert siege.refused(post(path, LARGE)) == wanted
        top = head("POST", path, "content-type: application/json", "transfer-encoding: chunked")
        assert siege.refused(top, chunked(LARGE)) == wanted
        assert siege.refused(top, chunked(LARGE, 1_000_000)) == wanted
        assert siege.refused(post(path, LARGE, kind="text/plain"))[0] == 413


def test_who_asks_whether_to_go_on_with_a_large_body_is_told_not_to(siege: Siege) -> None:
    for size in (2_000_001, 10_000_000, 10**15):
        top = head(
            "POST", "/embed", "content-type: application/json", f"content-length: {size}", "expect: 100-continue"
        )
        wanted = (413, f"the body has {size:,} bytes, and a request may have 2,000,000; send several")
        assert siege.refused(top) == wanted
    with connect(siege.server) as held:
        held.sendall(post("/embed", GOOD, "expect: 100-continue")[: -len(json.dumps(GOOD))])
        assert held.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        held.sendall(json.dumps(GOOD).encode())
        (reply,) = replies_of(read_all(held))
        assert reply.status == 200


def test_bodies_without_end(siege: Siege) -> None:
    """So large that they are not read to their end. A client that writes on may not hear why it is cut off."""
    piece = b"[" * 1_000_000
    whole = head("POST", "/embed", "content-type: application/json", "content-length: 31000000")
    assert siege.refused(whole, *[piece] * 31)[0] == 413
    huge = head("POST", "/embed", "content-type: application/json", f"content-length: {10**15}")
    assert siege.refused(huge)[0] == 413
    siege.exact = False
    endless = head("POST", "/embed", "content-type: application/json", "transfer-encoding: chunked")
    heard = siege.send(endless, *[b"f4240\r\n" + piece + b"\r\n"] * 40)
    assert [reply.status for reply in heard] in ([413], [])


def test_too_many_texts(siege: Siege) -> None:
    many = [TEXT] * 10_000
    asked: list[tuple[str, Any]] = [
        ("/v1/embeddings", {"input": many}),
        ("/v1/embeddings", {"input": [[5]] * 10_000}),
        ("/embed", {"inputs": many}),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": many}}),
        ("/predict", {"inputs": many}),
        ("/predict", {"model": "pairs", "inputs": [["a", TEXT]] * 10_000}),
        ("/rerank", {"query": "a", "texts": many}),
        ("/tokenize", {"inputs": many}),
        ("/decode", {"ids": [[5]] * 10_000}),
        ("/tag", {"inputs": many}),
        ("/tag", {"inputs": [["a"] * 10_000]}),
        ("/answer", {"inputs": [{"question": "a", "context": TEXT}] * 10_000}),
        ("/choose", {"prompt": "a", "endings": many}),
        ("/models/embed", {"inputs": many}),
        ("/models/classify", {"inputs": many}),
        ("/models/embed", {"inputs": {"source_sentence": "a", "sentences": many}}),
    ]
    for path, body in asked:
        status, told = siege.refused(post(path, body))
        assert status == 413
        assert "10,0" in told
        assert told.endswith(" texts, and a request may have 2,048; send several")
    for path in ("/embed", "/tag", "/tokenize", "/predict"):
        assert siege.refused(post(path, {"inputs": [1] * 600_000}))[0] == 422
        assert siege.refused(post(path, {"inputs": [[{}]] * 200_000}))[0] == 422


def test_too_long_texts(siege: Siege) -> None:
    """Of 1.9 MB: short words, one word, signs, letters of many bytes, spaces."""
    words, word, signs = "cat " * 475_000, SECRET * 237_500, "-" * 1_900_000
    asked: list[tuple[str, Any]] = [
        *(("/embed", {"inputs": text}) for text in (words, signs, "漢" * 300_000)),
        ("/v1/embeddings", {"input": words}),
        ("/v1/embeddings", {"input": [5] * 600_000}),
        ("/similarity", {"inputs": {"source_sentence": words, "sentences": ["a"]}}),
        ("/predict", {"inputs": words}),
        ("/predict", {"model": "pairs", "inputs": [["a", words]]}),
        ("/rerank", {"query": "a", "texts": ["a", words]}),
        ("/tokenize", {"inputs": words}),
        ("/tag", {"inputs": words}),
        ("/answer", {"question": "who", "context": words}),
        ("/answer", {"question": words, "context": "a"}),
        ("/choose", {"prompt": words, "endings": ["a", "b"]}),
        ("/fill", {"inputs": f"[MASK] {words}"}),
        ("/fill", {"inputs": "[MASK]" * 1000}),
        ("/search", {"query": words}),
        ("/search", {"query": words, "rerank": "rerank"}),
        ("/attention", {"text": words}),
        ("/attention", {"text": "a", "text_pair": words}),
        ("/models/embed", {"inputs": words}),
        ("/models/answer", {"inputs": {"question": words, "context": "a"}}),
    ]
    for path, body in asked:
        status, told = siege.refused(post(path, body))
        assert status == 413, (path, told)
        assert " tokens" in told
    for text in (word, " " * 1_900_000, "\u0301" * 900_000):
        (reply,) = siege.send(post("/embed", json.dumps({"inputs": text}, ensure_ascii=False).encode()))
        assert reply.status == 200


# Lengths that lie, and HTTP that is none


def test_bodies_of_another_length_than_was_said(siege: Siege) -> None:
    body = json.dumps({"inputs": TEXT}).encode()
    kind = "content-type: application/json"
    for length in range(0, len(body), 3):
        assert siege.refused(head("POST", "/embed", kind, f"content-length: {length}") + body)[0] == 400
    for more in (1, 100, 10**6):
        top = head("POST", "/embed", kind, f"content-length: {len(body) + more}")
        assert siege.refused(top + body, ended=True) == (400, "the request ended before it was whole")


def test_lengths_that_are_none(siege: Siege) -> None:
    kind = "content-type: application/json"
    body = json.dumps(GOOD).encode()
    size = len(body)
    for lengths in (
        ["content-length: -1"], ["content-length: -0"], ["content-length: +20"], ["content-length: 0x14"],
        ["content-length: 1e2"], ["content-length: twenty"], ["content-length: 20.0"], [f"content-length: {10**30}"],
        ["content-length: 18446744073709551616"], ["content-length: 20, 20"], ["content-length: ٢٠"],
        [f"content-length: {size}", f"content-length: {size}"], ["content-length: 20", "content-length: 21"],
        [f"content-length: {size} {size}"], ["content-length: 20\0"],
        [f"content-length: {size}", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked", f"content-length: {size}"],
        ["transfer-encoding: gzip"], ["transfer-encoding: identity"], ["transfer-encoding: chunked, gzip"],
        ["transfer-encoding: chunked, chunked", f"content-length: {size}"], ["transfer-encoding: xchunked"],
        ["transfer-encoding: chunked x"], [f"content-length : {size}"],
    ):  # fmt: skip
        status, told = siege.refused(head("POST", "/embed", kind, *lengths) + body, ended=True)
        assert status == 400, lengths
        assert told in ("the request is no valid HTTP/1.1", "the request ended before it was whole")
    assert siege.refused(head("POST", "/embed", kind))[0] == 400  # no body at all
    assert siege.refused(head("POST", "/embed", kind, "content-length:") + body, ended=True)[0] == 400


def test_chunks_that_are_none(siege: Siege) -> None:
    top = head("POST", "/embed", "content-type: application/json", "transfer-encoding: chunked")
    for data in (
        b"zz\r\n", b"-5\r\nabcde\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab", b"5\r\nabcdefghij\r\n", b"5abcde\r\n",
        b"\r\n\r\n", b"5;" + b"x" * 100 + b"\0\r\nabcde\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b" 5\r\nabcde\r\n",
        b"5\r\nabcde0\r\n\r\n", b"5\nabcde\n0\n\n", b"5\r\nabcde\r\n0\r\n", b"", b"5",
        b"1\r\n{\r\n0\r\nno header\r\n\r\n",
    ):  # fmt: skip
        assert siege.refused(top + data, ended=True)[0] == 400, data
    good = chunked(json.dumps(GOOD).encode(), 3)
    assert [reply.status for reply in siege.send(top + good)] == [200]
    assert siege.refused(top + chunked(b'{"inputs": 5}', 1))[0] == 422


def test_who_stops_in_the_midst_is_told_so(siege: Siege) -> None:
    whole = post("/embed", {"inputs": TEXT})
    wanted = (400, "the request ended before it was whole")
    for size in range(1, len(whole), 5):
        assert siege.refused(whole[:size], ended=True) == wanted, size
    assert siege.send(ended=True) == []
    for size in (1, 40, len(whole) - 1):  # gone altogether
        with connect(siege.server) as held:
            held.sendall(whole[:size])
        siege.told += 1  # though not heard


def hello(name: bytes) -> bytes:
    """What a client of TLS 1.2 says first."""
    names = b"\0\0" + (len(name) + 5).to_bytes(2) + (len(name) + 3).to_bytes(2) + b"\0" + len(name).to_bytes(2) + name
    body = (
        b"\x03\x03" + bytes(range(32)) + b"\0" + b"\0\x04\x13\x01\x13\x02" + b"\x01\0" + len(names).to_bytes(2) + names
    )
    shaken = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(shaken).to_bytes(2) + shaken


NO_HTTP = {
    "TLS": hello(b"localhost"),
    "TLS 1.3": hello(b"x" * 200),
    "SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(41),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "SOCKS": b"\x05\x01\x00",
    "mail": b"EHLO zanzibar\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n\r\n",
    "no version": b"GET / HTTP\r\n\r\n",
    "another protocol": b"GET / ICY/1.0\r\n\r\n",
    "a proxy's first line": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n",
    "small letters": b"get / HTTP/1.1\r\n\r\n",
    "an unknown method": b"BREW /pot HTTP/1.1\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "a path that is none": b"GET cat HTTP/1.1\r\n\r\n",
    "spaces in the path": b"GET /the cat HTTP/1.1\r\n\r\n",
    "a NUL in the path": b"GET /\0 HTTP/1.1\r\n\r\n",
    "letters in the path": "GET /é HTTP/1.1\r\n\r\n".encode(),
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    "bytes in the query": b"GET /embed?\xff HTTP/1.1\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: localhost\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nhost: local\0host\r\n\r\n",
    "a header on two lines": b"GET / HTTP/1.1\r\nhost: a\r\n b: c\r\n\r\n",
    "bytes in a name": b"GET / HTTP/1.1\r\n\xffhost: a\r\n\r\n",
    "carriage returns alone": b"GET / HTTP/1.1\rhost: a\r\r",
    "NULs": bytes(100),
    "a body alone": json.dumps(GOOD).encode(),
}


def test_what_is_no_http(siege: Siege) -> None:
    for name, data in NO_HTTP.items():
        (reply,) = siege.send(data, ended=True)
        assert reply.status in (400, 404, 405), name
        assert reply.told
        assert reply.headers["connection"] == "close"


def test_random_bytes(siege: Siege) -> None:
    chance = random.Random(5)
    for size in range(1, 80):
        data = chance.randbytes(size) if size % 2 else bytes(chance.choices(b"GET POST/HTTP1.:\r\n", k=size))
        for reply in siege.send(data, ended=True):
            assert reply.status == 400
            assert reply.told
    assert siege.refused(bytes(chance.choices(range(128, 256), k=10**6)), ended=True)[0] == 400


def test_heads_with_some_bytes_changed(siege: Siege) -> None:
    siege.exact = False  # a request may be refused while one is told that what comes behind it is no HTTP
    chance = random.Random(6)
    whole = post("/nowhere", GOOD)
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(whole.index(b"\r\n\r\n"))] = chance.randrange(256)
        for reply in siege.send(bytes(data), ended=True):
            assert reply.status in (400, 404, 405, 413, 415)
            assert reply.told


def test_heads_that_are_too_large(siege: Siege) -> None:
    wanted = (431, "the head of the request has more than 65,536 bytes; send less")
    long, longer = "x" * 66_000, "x" * 1_000_000
    for data in (
        head("GET", f"/{long}"),
        head("GET", f"/?{long}"),
        head("GET", f"/{longer}"),
        head("GET", "/health", f"x-long: {long}"),
        head("GET", "/health", f"x-long: {longer}"),
        head("GET", "/health", f"{long}: a"),
        head("GET", "/health", f"cookie: {long}"),
        head("GET", "/health", *[f"x-{number}: {number}" for number in range(10_000)]),
        head("GET", "/health", *["a: b"] * 20_000),
        head("GET", "/health", f"host: {long}"),
        post("/embed", GOOD, f"authorization: Bearer {long}"),
        b"G" + head("GET", "/health", f"x-long: {long}")[1:-4],  # without an end
    ):
        assert siege.refused(data, ended=True) == wanted
    for size in (1000, 30_000):  # a piece at a time
        data = head("GET", "/health", f"x-long: {long}")
        pieces = [data[place : place + size] for place in range(0, len(data), size)]
        assert siege.refused(*pieces) == wanted
    for path in (f"/{'x' * 60_000}", f"/models/{'x' * 60_000}", f"/v1/models/{'x' * 60_000}"):
        for method in ("GET", "POST"):
            data = head(method, path, "content-type: application/json", "content-length: 2") + b"{}"
            assert siege.refused(data)[0] in (404, 405, 422)
    top = head("POST", "/embed", "content-type: application/json", "transfer-encoding: chunked")
    trailers = b"".join(b"x-%d: %d\r\n" % (number, number) for number in range(10_000))
    assert siege.refused(top + b"0\r\n" + trailers + b"\r\n")[0] in (400, 431)
    (reply,) = siege.send(post("/embed", GOOD, f"x-long: {'x' * 60_000}"))
    assert reply.status == 200


# Who is slow


def test_who_is_slow_is_sent_away(model_folder: Callable[[str], Path], siege: Siege) -> None:
    """All at once, on a server that waits for a second."""
    whole = post("/embed", GOOD)
    split = whole.index(b"\r\n\r\n") + 4
    top = head("POST", "/embed", "content-type: application/json", "transfer-encoding: chunked")
    patience = {
        "head": "the head of the request did not arrive within 1 seconds",
        "body": "the request did not arrive within 1 seconds",
    }

    def drip(server: Running, start: bytes, rest: bytes, piece: int) -> list[Reply]:
        with connect(server) as held:
            over = threading.Event()

            def send() -> None:
                with suppress(OSError):
                    held.sendall(start)
                    for place in range(0, len(rest), piece):
                        if over.wait(0.05):
                            return
                        held.sendall(rest[place : place + piece])

            sender = threading.Thread(target=send)
            sender.start()
            try:
                return replies_of(read_all(held))
            finally:
                over.set()
                sender.join()

    slow: list[tuple[str, bytes, bytes, int]] = [
        ("head", b"", whole * 3, 1),
        ("head", b"POST /embed HTTP/1.1\r\n", b"x: y\r\n" * 100, 6),
        ("head", whole[:30], b"", 1),
        ("head", b"GET ", b"/" * 200, 1),
        ("head", b"\r\n", b"", 1),
        ("body", whole[:split], b"", 1),
        ("body", whole[:-1], b"", 1),
        ("body", whole[:split].replace(b"content-length: 21", b"content-length: 400"), b"[" * 400, 1),
        ("body", top, chunked(b"[" * 300, 1), 6),
        ("body", top + b"5;", b"x" * 200, 1),
        ("body", top + b"1\r\n{\r\n0\r\n", b"x: y\r\n" * 100, 6),
        ("body", head("PUT", "/embed", "content-length: 9"), b"", 1),
    ]
    assert b"content-length: 21" in whole
    limits = Limits(read_timeout=1)
    with running({"embed": model_folder("embed")}, limits=limits) as server, ThreadPoolExecutor(len(slow) + 1) as many:
        silent = many.submit(exchange, server)
        answers = list(many.map(lambda one: drip(server, *one[1:]), slow))
        assert silent.result() == []
        for (what, *_), replies in zip(slow, answers, strict=True):
            (reply,) = replies
            assert (reply.status, reply.told) == (408, patience[what])
            assert reply.headers["connection"] == "close"
        assert server.metric("bertsmith_errors_total", kind="Timeout") == len(slow)
        (reply,) = exchange(server, whole)
        assert reply.status == 200


def test_a_connection_may_rest_between_requests(model_folder: Callable[[str], Path]) -> None:
    """Longer than a request may take to arrive. What then comes too slowly is told so, as at first."""
    whole = post("/embed", GOOD).replace(b"connection: close\r\n", b"")
    limits = Limits(read_timeout=1)
    with running({"embed": model_folder("embed")}, limits=limits) as server, connect(server) as held:
        held.sendall(whole)
        assert held.recv(100_000).startswith(b"HTTP/1.1 200 OK\r\n")
        time.sleep(1.2)
        held.sendall(whole + whole[:20])
        replies = replies_of(read_all(held))
        assert [reply.status for reply in replies] == [200, 408]
        assert replies[1].told == "the head of the request did not arrive within 1 seconds"


# Names, routes and methods that there are not


ODD = [
    "", " ", "nix", "EMBED", "embed ", "../embed", "/etc/passwd", "..\\..\\windows", "%2e%2e%2f", "\u2028",
    "\x1b[31m", "a\nb", "a\r\nset-cookie: a=b", "{name}", "{0}", "%s%s%n", "<script>alert(1)</script>",
    "'; drop table models; --", "é" * 500, "x" * 100_000, "\u202eembed", "😀", "None", "null", "__class__", "embed\0",
    "\ufeffembed", "file:///etc/passwd", "http://169.254.169.254/", "sentence-transformers/all-MiniLM-L6-v2",
]  # fmt: skip


def test_unknown_models(siege: Siege) -> None:
    for path in [path for path, body in BODIES.items() if "model" in body]:
        for name in ODD:
            status, told = siege.refused(post(path, {**BODIES[path], "model": name}))
            assert (status, told.startswith("there is no model ")) == (404, True)


def test_unknown_indexes_prompts_and_judges(siege: Siege) -> None:
    for name in ODD:
        assert siege.refused(post("/search", {"query": "a", "index": name}))[0] == 404
        assert siege.refused(post("/search", {"query": "a", "rerank": name}))[0] == 404
        assert siege.refused(post("/embed", {"inputs": "a", "prompt_name": name}))[0] == 422
        assert siege.refused(post("/models/embed", {"inputs": "a", "parameters": {"prompt_name": name}}))[0] == 422


PATHS = [
    "/nowhere", "/embed/", "/embed/x", "//embed", "/EMBED", "/embed%00", "/embed%20", "/embed%2f", "/./embed", "/v1",
    "/v1/", "/v1/embed", "/v1/completions", "/v1/chat/completions", "/v2/embeddings", "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/static/../../app.py", "/page/../page/playground.js",
    "/docs/../../../x", "/.env", "/.git/config", "/a%0d%0aset-cookie:%20a=b", "/a%0ab", "/%E2%80%A8", "/%1b[31m",
    "/%ff%fe", "/%", "/%zz", "/a;b", "/a?b?c", "/?", "/*", "/{name:path}", "/redoc", "/admin", "/server-status",
    "/shutdown", "/metrics/", "/health/x", "http://localhost/nowhere", "http://elsewhere:1/embedd", "/models",
    "/models/nix", "/models/..", "/models/../embed", "/models/%2e%2e%2fembed", "/models//etc/passwd",
    "/models/embed/", "/models/embed%00", "/models/%F0%9F%98%80", "/models/%0a",
]  # fmt: skip


def test_unknown_routes(siege: Siege) -> None:
    body = json.dumps(GOOD).encode()
    for method, path in product(("GET", "POST"), PATHS):
        if method == "GET" and path in ("/?", "/models"):
            continue
        data = head(method, path, "content-type: application/json", f"content-length: {len(body)}") + body
        if path == "/?":
            data = data.replace(b"{", b"[")
        (reply,) = siege.send(data)
        assert reply.status in (400, 404, 405), (path, reply)
        assert reply.told


def test_unknown_names_in_paths(siege: Siege) -> None:
    for name in (
        "nix",
        "%2e%2e%2fembed",
        "../embed",
        "embed/",
        "%00",
        "%0a",
        "%ff",
        "%E2%80%A8",
        "x" * 9000,
        "embed?x",
        "%1b",
    ):
        if name != "embed?x":
            assert siege.refused(head("GET", f"/v1/models/{name}"))[0] == 404
            assert siege.refused(head("GET", f"/info?model={name}"))[0] == 404
        assert siege.refused(post(f"/models/{name}", {**GOOD, "parameters": []}))[0] in (404, 422)
    for query in ("model=", "model=%ff", "model=nix&model=nix", "model[]=a&model=x", "model=%"):
        assert siege.refused(head("GET", f"/info?{query}"))[0] == 404


METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "PURGE", "LOCK")


def test_methods_that_a_route_does_not_take(siege: Siege) -> None:
    offered: dict[str, set[str]] = {"/openapi.json": {"GET"}, "/nowhere": set()}
    for route in ROUTES:
        offered.setdefault(route.path.replace("{name:path}", "embed"), set()).update(route.methods)
    assert len(offered) > 20
    for path, method in product(offered, METHODS):
        known = offered[path]
        if method in known:
            continue
        status, told = siege.refused(head(method, path, "content-type: application/json", "content-length: 2") + b"{}")
        if not known:
            assert (status, told) == (404, f"there is no route {path}; /docs lists all of them")
        else:
            assert (status, told) == (405, f"{path} does not take {method}; see /docs")
    assert siege.refused(head("OPTIONS", "*"))[0] == 404


def test_head_is_answered_without_a_body(siege: Siege) -> None:
    for path in ("/embed", "/info", "/nowhere", "/v1/models/nix", "/models/embed"):
        (reply,) = siege.send(head("HEAD", path), bodiless=True)
        assert reply.status in (404, 405)
        assert int(reply.headers["content-length"]) > 20


# Keys


KEYS = ("right-key-1", "right-key-2")


def test_wrong_keys(model_folder: Callable[[str], Path], siege: Siege) -> None:
    odd: list[str | bytes] = [
        "Bearer wrong", "bearer Right-Key-1", "Bearer right-key", "Bearer right-key-1x",
        "Bearer right-key-1 right-key-2", "Bearer right-key-1,right-key-2", "Bearer right-key-12",
        "Basic right-key-1", "Basic cmlnaHQta2V5LTE6", "right-key-1", "Bearer", "Bearer ", "Bearerright-key-1",
        "Token right-key-1", "Digest username=right-key-1", "Bearer " + "x" * 60_000, b"Bearer \xff\xfe",
        "Bearer ключ".encode(), b"Bearer right-key-1\xc2\xa0", "Bearer *", "Bearer None", "Bearer null",
        'Bearer "right-key-1"', "Bearer Bearer right-key-1", "Bearer %72ight-key-1", "ApiKey right-key-1",
        "Bearer\tright-key-1",
    ]  # fmt: skip
    with running({"embed": model_folder("embed")}, keys=KEYS) as server:
        asked = [post("/embed", GOOD), post("/reload", {}), post("/", GOOD), post("/nowhere", GOOD)]
        asked += [head("GET", path) for path in ("/metrics", "/v1/models", "/info", "/nowhere", "/health/")]
        sent = 0
        for data in asked:
            for headers in (
                [],
                *([b"authorization: " + (one if isinstance(one, bytes) else one.encode())] for one in odd),
            ):
                with_key = data.replace(b"\r\n", b"\r\n".join([b"", *headers, b""]), 1)
                (reply,) = exchange(server, with_key)
                sent += 1
                assert reply.status == 401
                assert reply.headers["www-authenticate"] == "Bearer"
                assert "right-key" not in reply.told
        for key in (b"wrong", b"", b"right-key", b"right-key-1x", b"\xff", b"x" * 60_000):
            (reply,) = exchange(server, post("/embed", GOOD, b"x-api-key: " + key))
            sent += 1
            assert reply.status == 401
        (reply,) = exchange(server, post("/embed?api_key=right-key-1&key=right-key-2", GOOD, "cookie: key=right-key-1"))
        assert reply.status == 401
        assert until(lambda: server.metric("bertsmith_errors_total", kind="Unauthorized") == sent + 1)
        for key in (
            b"authorization: Bearer right-key-1",
            b"authorization: BEARER  right-key-2",
            b"x-api-key: right-key-2",
        ):
            (reply,) = exchange(server, post("/embed", GOOD, key))
            assert reply.status == 200
        for word in ("right-key", "wrong", "xxxxxxxx"):
            assert word not in server._log.getvalue()


# Several requests on a connection, older and newer protocols


def kept(data: bytes) -> bytes:
    """A request after which more follow."""
    return data.replace(b"connection: close\r\n", b"", 1)


def test_pipelined_requests_are_answered_in_their_order(siege: Siege) -> None:
    good = [post("/embed", {"inputs": "the cat " * number}) for number in range(9)]
    alone = [exchange(siege.server, data)[0].body for data in good]
    bad = [
        (post("/embed", {"inputs": 5}), 422), (post("/nowhere", GOOD), 404), (head("GET", "/embed"), 405),
        (post("/embed", {"inputs": ""}), 200), (post("/v1/embeddings", {"model": "tag", "input": "a"}), 422),
        (head("DELETE", "/tag"), 405), (post("/embed", GOOD), 200), (head("GET", "/health"), 200),
    ]  # fmt: skip
    mixed = [one for place in range(8) for one in ((good[place], 200), bad[place])]
    replies = siege.send(b"".join(kept(data) for data, _ in mixed) + good[8])
    assert [reply.status for reply in replies] == [*(status for _, status in mixed), 200]
    for reply, expected in zip(replies[::2], alone, strict=True):
        same(json.loads(reply.body), json.loads(expected), atol=1e-5)
    for reply in replies:
        if reply.status >= 400:
            assert reply.told
    many = siege.send(kept(post("/tokenize", GOOD)) * 200 + post("/tokenize", GOOD))
    assert [reply.status for reply in many] == [200] * 201


def test_what_follows_a_request_that_ends_the_connection_is_not_read(siege: Siege) -> None:
    for first, status in (
        (kept(post("/embed", GOOD, kind="text/plain")), 415),
        (kept(head("POST", "/embed", "content-length: 10000000", "expect: 100-continue")), 413),
        (post("/embed", GOOD), 200),
    ):
        replies = siege.send(first + post("/embed", GOOD) * 3)
        assert [reply.status for reply in replies] == [status]
    smuggled = json.dumps(GOOD).encode() + b"GET /nowhere HTTP/1.1\r\n\r\n"
    short = head("POST", "/embed", "content-type: application/json", "content-length: 3")
    assert siege.refused(short + smuggled)[0] == 400
    both = kept(head("POST", "/embed", "content-length: 5", "transfer-encoding: chunked"))
    assert siege.refused(both + b"0\r\n\r\nGET /health HTTP/1.1\r\nconnection: close\r\n\r\n")[0] == 400


def test_http_1_0(siege: Siege) -> None:
    for headers in ([], ["connection: keep-alive"]):
        data = kept(post("/embed", GOOD, *headers, version="HTTP/1.0"))
        (reply,) = siege.send(data)
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        for bad, status in ((b"{", 400), ({"inputs": 5}, 422)):
            assert siege.refused(kept(post("/embed", bad, *headers, version="HTTP/1.0")))[0] == status
    assert siege.refused(b"GET /nowhere HTTP/1.0\r\n\r\n")[0] == 404
    assert siege.refused(b"POST /embed HTTP/1.0\r\n\r\n")[0] == 400


def test_other_protocols_are_not_changed_to(siege: Siege) -> None:
    for upgrade in ("websocket", "h2c", "TLS/1.0", "a, b", "", "x" * 9000):
        headers = [f"upgrade: {upgrade}", "connection: upgrade, close", "sec-websocket-version: 13"]
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        for path, status in (("/ws", 404), ("/embed", 405), ("/models/embed", 405)):
            data = kept(head("GET", path, *headers, key, "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"))
            assert siege.refused(data)[0] == status
        assert siege.refused(kept(post("/embed", {"inputs": 5}, *headers)))[0] == 422
        for data in (head("GET", "/health", *headers), post("/embed", GOOD, *headers)):
            (reply,) = siege.send(kept(data))  # in the protocol that is spoken
            assert reply.status == 200


HEADERS: list[str | bytes] = [
    "host: ", "host: [", "host: [::1", "host: a:b:c", "host: localhost:99999999", "host: a@b", "host: //", "host: ½",
    b"host: \xff\xfe", "host: a b", "host: ..", "forwarded: for=1;proto=https", "x-forwarded-for: 1.2.3.4, zanzibar",
    b"x-forwarded-for: \xff", "x-forwarded-proto: javascript", "x-forwarded-host: elsewhere",
    "x-forwarded-prefix: /a", "x-original-url: /health", "x-http-method-override: DELETE",
    "x-request-id: " + "x" * 5000, b"x-request-id: \xff\xfe", "x-request-id: {zanzibar}", "origin: null",
    "origin: http://elsewhere", b"origin: \xff", "accept: \x7f", "accept: image/*", "accept-encoding: zip",
    "range: bytes=0-1", "if-match: *", "te: trailers", "trailer: content-length", "expect: tea",
    "cookie: " + "a=b; " * 9000, "content-language: \xff", "date: never", "via: 1.1 x", "max-forwards: -1",
    "connection: x,,y", "keep-alive: timeout=-1", "content-disposition: form-data", "authorization: Bearer zanzibar",
    "x-api-key: zanzibar",
]  # fmt: skip


def test_odd_headers(siege: Siege) -> None:
    for line in HEADERS:
        host = "" if isinstance(line, str) and line.startswith("host") else "localhost"
        for path, body, statuses in (
            ("/nowhere", GOOD, (404, 400)),
            ("/nowhere/", GOOD, (404, 400)),
            ("/embed/", GOOD, (404, 400)),
            ("/v1/embeddings", {"input": 5}, (422, 400)),
        ):
            data = post(path, body, line, host=host)
            (reply,) = siege.send(data.replace(b"host: \r\n", b"", 1) if not host else data)
            assert reply.status in statuses, (line, reply)
            assert reply.told


# What is left of it


def test_odd_numbers_and_signs_are_no_trouble_for_a_log_of_texts(model_folder: Callable[[str], Path]) -> None:
    asked: list[tuple[str, Any, int]] = [
        ("/embed", {"inputs": "a\nb\u2028c\x1b[31m", "dimensions": 2**31 - 1}, 422),
        ("/models/embed", {"inputs": "a", "parameters": {"x": [10**40, float("nan"), {"y": -(10**400)}]}}, 200),
        ("/models/embed", {"inputs": {"source_sentence": "a\u2029", "sentences": ["b"]}}, 200),
        ("/embed", {"inputs": 5}, 422),
        ("/embed", {"inputs": ["a" * 100_000], "truncate": True}, 200),
    ]
    with running({"embed": model_folder("embed")}, log_texts=True) as server:
        for path, body, status in asked:
            (reply,) = exchange(server, post(path, body))
            assert reply.status == status, reply
        assert until(lambda: server._log.getvalue().count('"event":"request"') == len(asked))
        lines = [orjson.loads(line) for line in server._log.getvalue().split("\n")[:-1]]
        lines = [line for line in lines if line["event"] == "request"]
        assert [line["status"] for line in lines] == [status for *_, status in asked]
        assert lines[0]["shown"] == {"inputs": "a\nb\u2028c\x1b[31m", "dimensions": 2**31 - 1}
        assert lines[1]["shown"]["parameters"] == {"x": [1e40, None, {"y": None}]}
        assert "shown" not in lines[3]


def test_a_text_without_a_mask_is_not_repeated(model_folder: Callable[[str], Path]) -> None:
    with running({"fill": model_folder("fill")}) as server:
        for path in ("/fill", "/models/fill"):
            (reply,) = exchange(server, post(path, {"inputs": TEXT}))
            assert reply.status == 422
            assert SECRET not in message_of(json.loads(reply.body))
        assert SECRET not in server._log.getvalue()


def test_nothing_is_left_of_it(besieged: Siege) -> None:
    """No connection, no thread; nothing waits, nothing is promised."""
    besieged.crowd.close()
    assert besieged.crowd.wrong == []
    besieged.crowd.start()
    more = lambda: (open_files() > besieged.files, Counter(threads()) - Counter(besieged.threads))  # noqa: E731
    assert until(lambda: more() == (False, Counter())), more()
    besieged.crowd.close()
    batchers = [served.batcher for served in besieged.server.service.models.values()]
    assert [(one.num_waiting, one.promised, one.failures) for one in batchers] == [(0, 0, 0)] * len(batchers)
    requests = besieged.server.service.meters.requests.collect()
    statuses = {sample.labels["status"] for metric in requests for sample in metric.samples}
    assert statuses - {"0", "499"} <= {"200", "204", "400", "401", "404", "405", "408", "413", "415", "422"}
