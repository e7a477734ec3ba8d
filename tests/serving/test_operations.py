"""What whoever runs a server relies on: under load, failing engines, clients that go away, new weights, metrics."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from bertsmith.serving.batcher import BROKEN_AFTER
from bertsmith.serving.limits import Limits
from bertsmith.serving.served import MOST_BESIDE, Served
from bertsmith.text.ragged import Ragged

from ..stages.indexes import Place, changed_model
from ..tiny_models import WORDS
from .running import Running, message_of, running

SAFETY = 30  # seconds after which a test that hangs fails
Folder = Callable[[str], Path]
KEY = "s3cret-one"
HELD = {"authorization": f"Bearer {KEY}"}


class Engine:
    """A model's engine, which can be made to wait, and to fail."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.computed: list[tuple[int, ...]] = []
        self.check: Callable[[Ragged], None] = lambda sequences: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        self.entered.set()
        assert self.free.wait(SAFETY)
        self.check(sequences)
        for row in range(len(sequences)):
            self.computed.append(tuple(sequences.take([row]).ids.tolist()))
        outputs: NDArray[np.float32] = self.engine.outputs(sequences)
        return outputs


class Asked:
    """A request that is sent. Its answer is taken later, or never."""

    def __init__(self, server: Running, text: str, route: str = "/embed", **headers: str) -> None:
        self.text = text
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=SAFETY)
        body = json.dumps({"input" if route.startswith("/v1") else "inputs": text})
        self.connection.request("POST", route, body, {"content-type": "application/json", **headers})

    def answer(self) -> tuple[int, Any]:
        """The status and the JSON."""
        response = self.connection.getresponse()
        told = json.loads(response.read())
        self.connection.close()
        return response.status, told

    def leave(self, abruptly: bool = False) -> None:
        """Close the connection, in order or by a reset."""
        if abruptly:
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + SAFETY
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.002)


def texts(number: int, seed: int = 0) -> list[str]:
    """Different ones, none with the word "film"."""
    chance = random.Random(seed)
    words = [word for word in WORDS if word != "film"]
    found: dict[str, None] = {}
    while len(found) < number:
        found[" ".join(chance.choices(words, k=chance.randint(4, 20)))] = None
    return list(found)


def ids_of(served: Served, text: str) -> tuple[int, ...]:
    return tuple(served.tokenizer.encode([text]).ids.tolist())


def check_vectors(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-5)


@pytest.fixture(scope="module")
def alone(model_folder: Folder) -> Iterator[Running]:
    """A server of one model."""
    with running({"embed": model_folder("embed")}) as started:
        yield started


@pytest.fixture
def served(alone: Running) -> Served:
    return alone.service.models["embed"]


@pytest.fixture
def engine(alone: Running, served: Served) -> Iterator[Engine]:
    """The engine of that model. After a test nothing may be left in its queue, whatever happened."""
    plain, speed = served.batcher.engine, served.batcher.speed
    wrapped = Engine(plain)
    served.batcher.engine = wrapped
    yield wrapped
    wrapped.free.set()
    wrapped.check = lambda sequences: None
    until(lambda: (served.batcher.num_waiting, served.batcher.promised) == (0, 0))
    served.batcher.engine, served.batcher.speed = plain, speed
    alone.post("/embed", {"inputs": "the engine works"})
    assert alone.client.get("/health").status_code == 200


@contextmanager
def blocked(alone: Running, served: Served, engine: Engine) -> Iterator[None]:
    """While the engine is in a call, so that what is asked waits."""
    engine.free.clear()
    engine.entered.clear()
    first = Asked(alone, "on")
    assert engine.entered.wait(SAFETY)
    assert served.batcher.num_waiting == 0
    try:
        yield
    finally:
        engine.free.set()
    assert first.answer()[0] == 200


@contextmanager
def no_threads(alone: Running) -> Iterator[None]:
    """While all threads that tokenize are busy."""
    free = threading.Event()
    for _ in range(alone.service.threads._max_workers):
        alone.service.threads.submit(free.wait, SAFETY)
    try:
        yield
    finally:
        free.set()


# Clients that go away


def open_files() -> list[str]:
    """What this process holds open: the server's ends and the clients'."""
    place = Path("/proc/self/fd")
    if not place.exists():
        pytest.skip("no /proc here")
    found = []
    for one in place.iterdir():
        with suppress(OSError):
            found.append(os.readlink(one).partition(":")[0])
    return sorted(found)


@pytest.mark.parametrize("abruptly", [False, True])
def test_what_nobody_waits_for_is_not_computed(alone: Running, served: Served, engine: Engine, abruptly: bool) -> None:
    quiet = {text: alone.post("/embed", {"inputs": text}) for text in texts(20)}
    engine.computed.clear()
    alone.client.close()
    alone.client = httpx.Client(base_url=alone.url, timeout=SAFETY)
    files = open_files()
    lines = len(alone.log)
    with blocked(alone, served, engine):
        asked = [Asked(alone, text, **{"x-request-id": f"n{place}"}) for place, text in enumerate(quiet)]
        until(lambda: served.batcher.num_waiting == 20)
        gone, rest = asked[::2], asked[1::2]
        for one in gone:
            one.leave(abruptly)
        until(lambda: served.batcher.num_waiting == 10)
        assert served.batcher.promised == sum(len(ids_of(served, one.text)) for one in rest)
        for place in range(0, 20, 2):  # while the engine still is where it was
            line = alone.logged("request", id=f"n{place}")
            assert (line["status"], line["error"], line["level"]) == (499, "ClientGone", "info")
    for one in rest:
        status, vectors = one.answer()
        assert status == 200
        check_vectors(vectors, quiet[one.text])
    until(lambda: len([line for line in alone.log[lines:] if line["event"] == "request"]) == 21)
    assert served.batcher.promised == 0
    assert sorted(engine.computed) == sorted(ids_of(served, text) for text in ["on", *(one.text for one in rest)])
    assert alone.metric("bertsmith_requests_total", route="/embed", status="499") == 10 * (1 + abruptly)
    until(lambda: open_files() == files)


def test_who_leaves_before_the_text_is_tokenized(
    alone: Running, served: Served, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(served, "_sequences", lambda *words: read.append(words))
    with no_threads(alone):
        asked = Asked(alone, "the cat sat", **{"x-request-id": "early"})
        until(lambda: served.batcher.promised == len("the cat sat") // 4 + 2)
        asked.leave()
        assert alone.logged("request", id="early")["status"] == 499
    until(lambda: served.batcher.promised == 0)
    assert read == []
    assert engine.computed == []


def test_who_leaves_in_the_midst_of_a_request(alone: Running, served: Served, engine: Engine) -> None:
    for abruptly in (False, True):
        asked = Asked(alone, "the cat sat", **{"content-length": "1000", "x-request-id": f"half{abruptly:d}"})
        asked.leave(abruptly)
        line = alone.logged("request", id=f"half{abruptly:d}")
        assert (line["status"], line["error"]) == (499, "ClientGone")
    assert served.batcher.promised == 0
    assert engine.computed == []


# Engines that fail


@pytest.mark.parametrize("route", ["/embed", "/v1/embeddings"])
def test_only_the_guilty_suffer(alone: Running, served: Served, engine: Engine, route: str) -> None:
    """Fifty at once, of which the engine fails on three."""
    quiet = {text: alone.post("/embed", {"inputs": text})[0] for text in texts(50)}
    film = served.tokenizer.vocabulary.index("film")

    def check(sequences: Ragged) -> None:
        if film in sequences.ids:
            raise ValueError("boom in the engine")

    engine.check = check
    guilty = {3, 17, 40}
    with blocked(alone, served, engine):
        asked = [
            Asked(alone, text + " film" * (place in guilty), route, **{"x-request-id": f"g{place}"})
            for place, text in enumerate(quiet)
        ]
        until(lambda: served.batcher.num_waiting == 50)
    for place, (one, vector) in enumerate(zip(asked, quiet.values(), strict=True)):
        status, told = one.answer()
        if place not in guilty:
            assert status == 200, told
            check_vectors(told["data"][0]["embedding"] if route.startswith("/v1") else told[0], vector)
            continue
        assert (status, message_of(told)) == (500, "the model could not compute this input")
        if route.startswith("/v1"):
            assert told["error"]["type"] == "server_error"
        else:
            assert told["error_type"] == "Backend"
        line = alone.logged("request", id=f"g{place}")
        assert (line["status"], line["level"], line["error"]) == (500, "error", "Backend")


def test_the_log_tells_why_the_engine_failed(alone: Running, engine: Engine) -> None:
    def check(sequences: Ragged) -> None:
        raise ValueError("boom in the engine")

    engine.check = check
    response = alone.client.post("/embed", json={"inputs": "a cat"}, headers={"x-request-id": "why"})
    assert response.status_code == 500
    assert "boom" not in response.text
    alone.logged("request", id="why")
    assert "boom in the engine" in json.dumps(alone.log)


def test_a_surprise_is_logged_once(alone: Running, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprising(*_: Any) -> Any:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(served, "_sequences", surprising)
    response = alone.client.post("/embed", json={"inputs": "a cat"}, headers={"x-request-id": "odd"})
    assert response.status_code == 500
    assert message_of(response.json()) == "an error of this server; its log tells more under the id odd"
    assert response.headers["x-request-id"] == "odd"
    assert alone.logged("request", id="odd")["status"] == 500
    (line,) = [line for line in alone.log if line["event"] == "error" and line["id"] == "odd"]
    assert line["error"] == "ZeroDivisionError('nobody foresaw this')"
    assert "in surprising" in line["traceback"]


def test_health_is_that_of_the_engine(alone: Running, engine: Engine) -> None:
    def health() -> tuple[int, Any]:
        response = alone.client.get("/health")
        return response.status_code, response.json()

    def fail(sequences: Ragged) -> None:
        raise RuntimeError("the device is gone")

    assert health() == (200, {"status": "ready"})
    assert alone.metric("bertsmith_ready", model="embed") == 1
    engine.check = fail
    for number in range(1, BROKEN_AFTER + 1):
        assert alone.refused("/embed", {"inputs": "a cat"}) == (500, "the model could not compute this input")
        if number < BROKEN_AFTER:
            assert health()[0] == 200
    for _ in range(2):
        assert health() == (503, {"error": "the engine of embed fails", "error_type": "Unhealthy"})
    assert alone.metric("bertsmith_ready", model="embed") == 0
    assert alone.logged("request", path="/health")["status"] == 503
    assert alone.refused("/embed", {"inputs": "a cat"})[0] == 500
    engine.check = lambda sequences: None
    assert health() == (200, {"status": "ready"})  # it is tried anew, though nobody asked it anything
    assert alone.metric("bertsmith_ready", model="embed") == 1


# Too much


def test_too_much_is_refused_at_once(alone: Running, served: Served, engine: Engine) -> None:
    quiet = {text: alone.post("/embed", {"inputs": text}) for text in texts(30)}
    refused = alone.metric("bertsmith_errors_total", kind="Overloaded")
    with blocked(alone, served, engine):
        engine.computed.clear()
        served.batcher.speed = 20.0  # tokens a second: of which 100 are the 5 seconds that may be waited
        waiting: list[Asked] = []
        for text in quiet:
            if served.batcher.promised > 100:
                break
            waiting.append(Asked(alone, text))
            until(lambda: served.batcher.num_waiting == len(waiting))
        assert len(waiting) < len(quiet) - 10
        promised = served.batcher.promised
        assert 100 < promised < 100 + 30
        for route in ("/embed", "/v1/embeddings") * 5:  # answered, though the engine stands
            response = alone.client.post(route, json={"input": "a cat", "inputs": "a cat"})
            assert response.status_code == 429
            assert message_of(response.json()) == (
                f"overloaded: a request would wait {promised / 20:.1f} seconds, and 5 is the limit; try again later"
            )
            assert 1 <= int(response.headers["retry-after"]) <= 5
            if route.startswith("/v1"):
                error = response.json()["error"]
                assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert served.batcher.promised == promised
        assert alone.logged("overloaded", level="warning")["refused"] >= 1
        assert not [line for line in alone.log if line.get("status") == 429]  # they are counted
        kept = HTTPConnection("127.0.0.1", alone.port, timeout=SAFETY)
        for _ in range(3):  # a large body that nobody reads is not taken for the next request
            kept.request("POST", "/embed", b" " * 1_000_000, {"content-type": "application/json"})
            response = kept.getresponse()
            assert (response.status, json.loads(response.read())["error_type"]) == (429, "Overloaded")
        kept.close()
        assert alone.client.get("/info").status_code == 200  # what needs no engine is answered
        assert alone.client.get("/health").status_code == 200  # busy is not ill
    for one in waiting:
        status, vectors = one.answer()
        assert status == 200
        check_vectors(vectors, quiet[one.text])
    assert len(engine.computed) == len(waiting) + 1
    assert served.batcher.promised == 0
    with ThreadPoolExecutor(10) as crowd:  # full service again
        for found, expected in zip(
            crowd.map(lambda text: alone.post("/embed", {"inputs": text}), quiet), quiet.values(), strict=True
        ):
            check_vectors(found, expected)
    assert alone.metric("bertsmith_errors_total", kind="Overloaded") == refused + 13


def test_only_what_is_overloaded_refuses(server: Running) -> None:
    batcher = server.service.models["embed"].batcher
    speed = batcher.speed
    batcher.speed = 1.0
    batcher.admit(100)
    try:
        assert server.refused("/embed", {"inputs": "a cat"})[0] == 429
        assert len(server.post("/predict", {"inputs": "a cat"})) == 3
        assert len(server.post("/tokenize", {"inputs": "a cat"})) == 1
    finally:
        batcher.speed = speed
        batcher.release(100)
    assert len(server.post("/embed", {"inputs": "a cat"})) == 1


def test_too_much_beside_the_queues_is_refused_at_once(alone: Running) -> None:
    with no_threads(alone):
        asked = [Asked(alone, "a cat", "/tokenize") for _ in range(MOST_BESIDE)]
        until(lambda: alone.service.models["embed"]._beside == MOST_BESIDE)
        response = alone.client.post("/tokenize", json={"inputs": "a cat"})
        assert response.status_code == 429
        assert message_of(response.json()).startswith(f"overloaded: {MOST_BESIDE} requests of this kind are under way")
        assert response.headers["retry-after"] == "1"
    told = [one.answer() for one in asked]
    assert told == [(200, alone.post("/tokenize", {"inputs": "a cat"}))] * MOST_BESIDE


def test_what_cannot_be_answered_before_the_end_is_told_so(model_folder: Folder) -> None:
    """The engine stands for longer than answers may take then."""
    held = running({"embed": model_folder("embed")}, limits=Limits(drain=1))
    server = held.__enter__()
    ending = threading.Thread(target=held.__exit__, args=(None, None, None))
    served = server.service.models["embed"]
    engine = served.batcher.engine = Engine(served.batcher.engine)  # type: ignore[assignment]
    engine.free.clear()
    try:
        asked = [Asked(server, "a cat", **{"x-request-id": "late0"})]
        assert engine.entered.wait(SAFETY)
        asked += [Asked(server, text, **{"x-request-id": f"late{place}"}) for place, text in enumerate(texts(3), 1)]
        until(lambda: served.batcher.num_waiting == 3)
        ending.start()
        responses = [one.connection.getresponse() for one in asked]
        bodies = [response.read() for response in responses]
    finally:
        engine.free.set()
        ending.join()
    assert served.batcher.promised == 0
    for place, (response, body) in enumerate(zip(responses, bodies, strict=True)):
        assert (response.status, response.headers["content-type"]) == (503, "application/json")
        assert response.headers["x-request-id"] == f"late{place}"
        assert message_of(json.loads(body))
        assert server.logged("request", id=f"late{place}")["status"] == 503
    assert not [line for line in server.log if line["event"] not in ("ready", "draining", "request", "ended")]


# Metrics


def samples(server: Running) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What the page says, as Prometheus reads it."""
    response = server.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == CONTENT_TYPE_LATEST
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_every_metric_moves_as_it_says(model_folder: Folder) -> None:
    with running({"embed": model_folder("embed"), "tag": model_folder("tag")}) as server:
        tokens = sum(map(len, server.post("/tokenize", {"inputs": (three := texts(3))})))
        long = "cat " * 100
        before = samples(server)
        server.post("/embed", {"inputs": three})
        server.post("/embed", {"inputs": three[0]})
        server.refused("/embed", {"inputs": long})
        server.refused("/embed", {"inputs": 3})
        assert server.client.get("/nix").status_code == 404
        server.logged("request", path="/nix")
        one = len(server.post("/tokenize", {"inputs": three[0]})[0])
        after = samples(server)

        def moved(name: str, **labels: str) -> float:
            key = (f"bertsmith_{name}", frozenset(labels.items()))
            return after[key] - before.get(key, 0)

        assert moved("requests_total", route="/embed", status="200") == 2
        assert moved("requests_total", route="/embed", status="413") == 1
        assert moved("requests_total", route="/embed", status="422") == 1
        assert moved("requests_total", route="unknown", status="404") == 1  # not by what strangers ask for
        assert moved("requests_total", route="/tokenize", status="200") == 1
        assert moved("requests_total", route="/metrics", status="200") == 1
        assert moved("errors_total", kind="TooLarge") == 1
        assert moved("errors_total", kind="Validation") == 1
        assert moved("errors_total", kind="NotFound") == 1
        assert moved("request_seconds_count", route="/embed") == 4
        assert 0 < moved("request_seconds_sum", route="/embed") < SAFETY
        assert moved("texts_total", model="embed") == 4
        assert moved("tokens_total", model="embed") == tokens + one
        for name in ("tokenize_seconds", "queue_seconds", "inference_seconds"):
            assert moved(f"{name}_count", model="embed") == 2
            assert 0 <= moved(f"{name}_sum", model="embed") < SAFETY
        assert moved("tokenize_seconds_sum", model="embed") > 0
        assert moved("inference_seconds_sum", model="embed") > 0
        batches = moved("batch_sequences_count", model="embed")
        assert 2 <= batches <= 4
        assert moved("batch_sequences_sum", model="embed") == 4
        assert moved("batch_tokens_sum", model="embed") == tokens + one
        assert moved("batch_tokens_count", model="embed") == batches
        assert moved("batch_fill_ratio_count", model="embed") == batches
        assert 0.3 * batches < moved("batch_fill_ratio_sum", model="embed") <= batches
        assert moved("batch_seconds_count", model="embed") == batches
        assert 0 < moved("batch_seconds_sum", model="embed") < SAFETY
        for name in ("texts_total", "tokens_total", "batch_sequences_sum", "queue_seconds_count"):
            assert moved(name, model="tag") == 0  # which nobody asked

        served = server.service.models["embed"]
        engine = served.batcher.engine = Engine(served.batcher.engine)  # type: ignore[assignment]
        with blocked(server, served, engine):
            asked = Asked(server, three[0])
            until(lambda: served.batcher.num_waiting == 1)
            after = samples(server)
        assert asked.answer()[0] == 200
        assert after["bertsmith_queue_sequences", frozenset({("model", "embed")})] == 1
        assert after["bertsmith_queue_tokens", frozenset({("model", "embed")})] == one
        assert after["bertsmith_queue_sequences", frozenset({("model", "tag")})] == 0
        after = samples(server)
        for model in ("embed", "tag"):
            label = frozenset({("model", model)})
            assert after["bertsmith_queue_sequences", label] == after["bertsmith_queue_tokens", label] == 0
            assert after["bertsmith_ready", label] == 1
            assert after["bertsmith_tokens_per_second", label] == server.service.models[model].batcher.speed

    # Whatever is added is to be tested here.
    families = {family.name for family in server.service.meters.registry.collect() if "bertsmith" in family.name}
    assert {name.removeprefix("bertsmith_") for name in families} == {
        *("requests", "errors", "request_seconds", "texts", "tokens"),
        *("tokenize_seconds", "queue_seconds", "inference_seconds"),
        *("batch_sequences", "batch_tokens", "batch_fill_ratio", "batch_seconds"),
        *("queue_sequences", "queue_tokens", "ready", "tokens_per_second"),
    }
    assert {name for name, _ in after} >= {"process_resident_memory_bytes", "python_info"}


# New weights


@pytest.fixture
def mine(model_folder: Folder, tmp_path: Path) -> Path:
    """A folder of the model that may be changed."""
    return shutil.copytree(model_folder("embed"), tmp_path / "mine")


@contextmanager
def with_key(models: dict[str, Path], **how: Any) -> Iterator[Running]:
    """A server that takes one key, and a client that has it."""
    with running(models, keys=(KEY,), **how) as server:
        server.client.headers.update(HELD)
        yield server


def lanes() -> int:
    return len([thread for thread in threading.enumerate() if thread.name.startswith("lane-")])


def test_reloading_is_not_for_strangers(alone: Running, model_folder: Folder) -> None:
    assert alone.refused("/reload", {}) == (
        403,
        "reloading over HTTP needs a server with --api-key-file; or send it the signal SIGHUP",
    )
    with with_key({"embed": model_folder("embed")}) as server:
        held = server.service.models["embed"]
        bare = httpx.Client(base_url=server.url, timeout=SAFETY)
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"authorization": KEY}):
            response = bare.post("/reload", json={}, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error_type"] == "Unauthorized"
        assert server.refused("/reload", {"model": "nix"}) == (
            404,
            "there is no model 'nix'; served are: embed (embed)",
        )
        assert server.service.models["embed"] is held
        assert server.post("/reload", {}) == {"reloaded": ["embed"]}
        assert server.service.models["embed"] is not held


def test_new_weights_take_over_while_requests_go_on(mine: Path, model_folder: Folder) -> None:
    asked = texts(8)
    with with_key({"first": model_folder("classify"), "mine": mine}) as server:
        old = [server.post("/embed", {"inputs": text})[0] for text in asked]
        threads = lanes()
        over = threading.Event()
        found: list[tuple[int, int, Any]] = []

        def go_on(caller: int) -> int:
            number = 0
            with httpx.Client(base_url=server.url, headers=HELD, timeout=SAFETY) as client:
                while not over.is_set():
                    place = (caller + number) % len(asked)
                    response = client.post("/embed", json={"inputs": asked[place], "model": "mine"})
                    found.append((place, response.status_code, response.json()))
                    number += 1
            return number

        with ThreadPoolExecutor(4) as crowd:
            numbers = [crowd.submit(go_on, caller) for caller in range(4)]
            try:
                changed_model(mine, mine)
                assert server.post("/reload", {"model": "mine"}) == {"reloaded": ["mine"]}
                new = [server.post("/embed", {"inputs": text})[0] for text in asked]
                for _ in range(3):
                    assert server.post("/reload", {}) == {"reloaded": ["first", "mine"]}
            finally:
                over.set()
            assert all(number.result() > 0 for number in numbers)
        assert not np.allclose(old, new, atol=1e-3)
        for place, status, told in found:
            assert status == 200, told
            assert any(np.allclose(told[0], vectors[place], atol=1e-5) for vectors in (old, new))
        check_vectors([server.post("/embed", {"inputs": text})[0] for text in asked], new)
        assert [line["model"] for line in server.log if line["event"] == "reloaded"] == ["mine", *["first", "mine"] * 3]
        assert lanes() == threads
        assert server.metric("bertsmith_ready", model="mine") == 1


def test_what_the_old_model_accepted_it_answers(mine: Path) -> None:
    """One request waits in the old model's queue, and one for its tokens, while the new one takes over."""
    with with_key({"mine": mine}) as server:
        (old,) = server.post("/embed", {"inputs": "the cat sat"})
        served = server.service.models["mine"]
        engine = served.batcher.engine = Engine(served.batcher.engine)  # type: ignore[assignment]
        changed_model(mine, mine)
        engine.free.clear()
        queued = [Asked(server, "the cat sat", **HELD) for _ in range(2)]
        assert engine.entered.wait(SAFETY)
        with ThreadPoolExecutor(1) as beside:
            reloading = beside.submit(server.post, "/reload", {})
            until(lambda: server.service.models["mine"] is not served)
            (new,) = server.post("/embed", {"inputs": "the cat sat"})  # though the old one is not done
            assert not np.allclose(new, old, atol=1e-3)
            engine.free.set()
            assert reloading.result() == {"reloaded": ["mine"]}
        for one in queued:
            status, (vector,) = one.answer()
            assert status == 200
            check_vectors(vector, old)


def test_a_request_whose_text_is_being_tokenized_outlives_a_reload(mine: Path) -> None:
    with with_key({"mine": mine}) as server, ThreadPoolExecutor(1) as beside:
        (vector,) = server.post("/embed", {"inputs": "the cat sat"})
        batcher = server.service.models["mine"].batcher
        with no_threads(server):
            asked = Asked(server, "the cat sat", **HELD)
            until(lambda: batcher.promised > 0)
            reloading = beside.submit(server.post, "/reload", {})
            until(lambda: batcher._closed)
        status, told = asked.answer()
        assert status == 200
        check_vectors(told, [vector])
        assert reloading.result() == {"reloaded": ["mine"]}


@pytest.mark.parametrize("damage", ["cut", "gone", "no json"])
def test_a_damaged_folder_is_not_taken(mine: Path, model_folder: Folder, damage: str) -> None:
    with with_key({"mine": mine}) as server:
        old = server.post("/embed", {"inputs": texts(20)})
        held, threads = server.service.models["mine"], lanes()
        weights, config = mine / "model.safetensors", mine / "config.json"
        if damage == "cut":
            os.truncate(weights, weights.stat().st_size // 2)  # the very file that the old one was read from
        elif damage == "gone":
            shutil.rmtree(mine)
        else:
            config.write_text("{")
        status, told = server.refused("/reload", {})
        assert status == 422
        assert told.startswith("mine was not reloaded, the one before goes on: ")
        assert str(mine) in told
        line = server.logged("reload failed")
        assert (line["model"], line["level"]) == ("mine", "error")
        assert line["error"] in told
        assert server.service.models["mine"] is held
        check_vectors(server.post("/embed", {"inputs": texts(20)}), old)
        assert server.client.get("/health").status_code == 200
        assert lanes() == threads
        shutil.copytree(model_folder("embed"), mine, dirs_exist_ok=True)
        assert server.post("/reload", {}) == {"reloaded": ["mine"]}
        check_vectors(server.post("/embed", {"inputs": texts(20)}), old)


@pytest.fixture
def indexed(mine: Path, tmp_path: Path) -> Path:
    """An index with the vectors of that model."""
    place = Place(tmp_path, mine)
    place.change({f"t{number}": text for number, text in enumerate(texts(9))})
    return place.index


def test_the_model_of_an_index_is_only_exchanged_for_one_of_the_same_vectors(mine: Path, indexed: Path) -> None:
    with with_key({"mine": mine}, indexes={"idx": (indexed, "mine")}) as server:
        asked = texts(9)
        hits = server.post("/search", {"query": asked[4], "top": 1})
        assert [hit["id"] for hit in hits] == ["t4"]
        assert server.post("/reload", {}) == {"reloaded": ["mine"]}
        held, threads = server.service.models["mine"], lanes()
        changed_model(mine, mine)
        status, told = server.refused("/reload", {})
        assert status == 422
        assert "made with another model" in told
        assert server.service.models["mine"] is held
        assert server.post("/search", {"query": asked[4], "top": 1}) == hits
        assert lanes() == threads  # nothing is left of the one that was not taken


def test_metrics_are_those_of_the_model_that_answers(mine: Path, indexed: Path, model_folder: Folder) -> None:
    def check() -> None:
        server.service.models["mine"].batcher.speed = speed = random.random()
        assert server.metric("bertsmith_tokens_per_second", model="mine") == speed

    with with_key({"mine": mine}, indexes={"idx": (indexed, "mine")}) as server:
        check()
        changed_model(mine, mine)
        assert server.refused("/reload", {})[0] == 422
        check()
        shutil.copytree(model_folder("embed"), mine, dirs_exist_ok=True)
        assert server.post("/reload", {}) == {"reloaded": ["mine"]}
        check()


def test_the_model_of_an_index_is_not_exchanged_for_one_without_vectors(
    mine: Path, indexed: Path, model_folder: Folder
) -> None:
    with with_key({"mine": mine}, indexes={"idx": (indexed, "mine")}) as server:
        hits = server.post("/search", {"query": "a cat", "top": 3})
        shutil.rmtree(mine)
        shutil.copytree(model_folder("classify"), mine)
        response = server.client.post("/reload", json={})
        assert server.post("/search", {"query": "a cat", "top": 3}) == hits
        assert response.status_code == 422


# Keys


@pytest.fixture(scope="module")
def keyed(model_folder: Folder) -> Iterator[Running]:
    """A server with two keys, for pages of two origins, and a client without a key."""
    origins = ("https://one.example", "https://two.example:8443")
    with running({"embed": model_folder("embed")}, keys=(KEY, "another"), origins=origins) as started:
        yield started


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "/", "/favicon.ico"])
def test_what_needs_no_key(keyed: Running, path: str) -> None:
    response = keyed.client.get(path)
    assert response.status_code == (204 if path == "/favicon.ico" else 200)
    assert KEY not in response.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/info"),
        ("GET", "/v1/models"),
        ("GET", "/nix"),
        ("GET", "/health/"),
        ("GET", "/%68ealthy"),
        ("POST", "/"),
        ("POST", "/health"),
        ("POST", "/embed"),
        ("POST", "/v1/embeddings"),
        ("POST", "/reload"),
    ],
)
def test_what_needs_a_key(keyed: Running, method: str, path: str) -> None:
    body = {"json": {"input": "a cat", "inputs": "a cat"}} if method == "POST" else {}
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Basic {KEY}"}, {"x-api-key": ""}):
        response = keyed.client.request(method, path, headers=headers, **body)
        assert response.status_code == 401
        told = message_of(response.json())
        assert told == "this server needs an API key; send the header Authorization: Bearer KEY"
    for headers in ({"authorization": f"Bearer {KEY}x"}, {"authorization": f"Bearer {KEY[:-1]}"}, {"x-api-key": "nix"}):
        response = keyed.client.request(method, path, headers=headers, **body)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert message_of(response.json()) == "the API key is not one of this server's"
        if path.startswith("/v1"):
            error = response.json()["error"]
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    for headers in (HELD, {"authorization": "bearer   another"}, {"x-api-key": KEY}):
        assert keyed.client.request(method, path, headers=headers, **body).status_code != 401


def test_a_large_request_without_a_key_hears_why(keyed: Running) -> None:
    """It is not cut off while it still sends."""
    body = json.dumps({"inputs": ["the cat sat on the mat " * 400] * 200})
    for _ in range(5):
        with httpx.Client(base_url=keyed.url, timeout=SAFETY) as client:
            response = client.post("/embed", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 401


# Pages elsewhere


def test_pages_of_named_origins_may_ask(keyed: Running) -> None:
    for origin in ("https://one.example", "https://two.example:8443"):
        asking = {"origin": origin, "access-control-request-method": "POST"}
        asking["access-control-request-headers"] = "authorization,content-type,x-request-id"
        response = keyed.client.options("/v1/embeddings", headers=asking)  # without a key, as browsers do
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        assert "POST" in response.headers["access-control-allow-methods"]
        allowed = {one.strip().lower() for one in response.headers["access-control-allow-headers"].split(",")}
        assert {"authorization", "content-type", "x-request-id"} <= allowed
        response = keyed.client.post("/embed", json={"inputs": "a cat"}, headers={**HELD, "origin": origin})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        seen = {one.strip() for one in response.headers["access-control-expose-headers"].split(",")}
        assert {"x-request-id", "retry-after"} <= seen
        for refused, headers in ((401, {}), (422, HELD)):  # a page is to read why, too
            response = keyed.client.post("/embed", json={"inputs": 3}, headers={**headers, "origin": origin})
            assert response.status_code == refused
            assert response.headers["access-control-allow-origin"] == origin


def test_other_pages_may_not(keyed: Running, alone: Running) -> None:
    for server, origin in (
        (keyed, "https://three.example"),
        (keyed, "http://one.example"),
        (alone, "https://one.example"),
    ):
        asking = {"origin": origin, "access-control-request-method": "POST"}
        response = server.client.options("/embed", headers=asking)
        assert response.status_code >= 400
        assert "access-control-allow-origin" not in response.headers
        response = server.client.post("/embed", json={"inputs": "a cat"}, headers={**HELD, "origin": origin})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


# Request ids


@pytest.mark.parametrize("given", ["a", "7f3c-0.9_b:c/d+e=", "x" * 128])
def test_a_given_id_is_kept(keyed: Running, given: str) -> None:
    for status, headers, body in ((200, HELD, {"inputs": "a cat"}), (422, HELD, {}), (401, {}, {})):
        response = keyed.client.post("/embed", json=body, headers={**headers, "x-request-id": given})
        assert (response.status_code, response.headers.get_list("x-request-id")) == (status, [given])
        assert keyed.logged("request", id=given, status=status)


@pytest.mark.parametrize(
    "given", [b"", b"a b", b"a\tb", b"x" * 129, "ä".encode(), b"\xff", b'a"b', b"a;b", b"a,b", b"{}"]
)
def test_an_odd_id_is_replaced(keyed: Running, given: bytes) -> None:
    found = []
    for headers in ({"x-request-id": given}, {}):
        for more in ({}, HELD):
            response = keyed.client.post("/embed", json={"inputs": "a cat"}, headers={**headers, **more})
            (one,) = response.headers.get_list("x-request-id")
            assert len(one) == 16
            assert int(one, 16) >= 0
            assert keyed.logged("request", id=one)["status"] == response.status_code
            found.append(one)
    assert len(set(found)) == 4


def test_errors_have_an_id_as_well(alone: Running, model_folder: Folder) -> None:
    for method, path, more, status in (
        ("GET", "/nix", {}, 404),
        ("GET", "/embed", {}, 405),
        ("POST", "/embed", {"json": {}}, 422),
        ("POST", "/embed", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("POST", "/embed", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ("POST", "/reload", {"json": {}}, 403),
    ):
        response = alone.client.request(method, path, **more)
        assert response.status_code == status
        assert alone.logged("request", id=response.headers["x-request-id"], path=path)["status"] == status
    with running({"embed": model_folder("embed")}, limits=Limits(max_body=1000)) as server:
        response = server.client.post("/embed", json={"inputs": "a" * 1000})
        assert response.status_code == 413
        assert server.logged("request", id=response.headers["x-request-id"])["error"] == "TooLarge"


def test_requests_of_a_kept_connection_have_ids_of_their_own(alone: Running) -> None:
    with httpx.Client(base_url=alone.url, timeout=SAFETY) as client:
        ids = [
            client.get("/info", headers=headers).headers["x-request-id"] for headers in ({}, {"x-request-id": "b"}, {})
        ]
    assert ids[1] == "b"
    assert len(set(ids)) == 3
