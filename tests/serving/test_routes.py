"""Every route against the project's own answers in Python, on the same weights."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.embedding.index import Hit, Index
from bertsmith.engine import TaskModel
from bertsmith.engine.embedder import Embedder
from bertsmith.engine.language_model import LanguageModel
from bertsmith.model import BertConfig
from bertsmith.model.sentence import Pooling
from bertsmith.serving.limits import Limits
from bertsmith.serving.searcher import Searcher
from bertsmith.tasks import Embed
from bertsmith.training import choose_precision

from ..stages.indexes import Place
from ..tiny_models import TASKS, TINY_SHAPE, WORDS, small_tokenizer
from .hostile import same
from .running import Running, running

TEXTS = ["the cat sat on the mat", "a good day", "", "it was a sad film , the dog ran in the park"]
PAIRS = [["who sat", "the cat sat on the mat"], ["where", "a good day"], ["is it bad ?", "it was a sad film"]]
LONG = "the cat sat on the mat " * 30  # 180 tokens, of which the models read 62
LENGTH = 64  # tokens that they read

pytestmark = pytest.mark.filterwarnings("ignore:.* cut to 64 tokens")


class Own:
    """The same models, asked in Python."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self.folder = folder
        self.model = cache(self._model)

    def _model(self, name: str) -> TaskModel:
        return TaskModel.open(self.folder(name), device="cpu", engine="torch")

    def predict(self, name: str, inputs: Any) -> list[dict[str, Any]]:
        return self.model(name).predict(inputs)

    def logits(self, name: str, inputs: Any) -> np.ndarray:
        model = self.model(name)
        return model.outputs(model.encode(model.task.examples_of_texts(inputs)))

    def vectors(self, texts: Sequence[str], name: str = "embed", **how: Any) -> np.ndarray:
        options = {"precision": "fp32", "engine": "torch", "device": "cpu", **how}
        return Embedder.open(self.folder(name), **options).embed(texts)


@pytest.fixture(scope="module")
def own(model_folder: Callable[[str], Path]) -> Own:
    return Own(model_folder)


def close(given: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(given, float), np.array(expected, float), atol=2e-6, rtol=1e-5)


def length_1(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# Vectors


def test_embed_one_text_and_several(server: Running, own: Own) -> None:
    vectors = own.vectors(TEXTS)
    close(server.post("/embed", {"inputs": TEXTS}), vectors)
    for text, vector in zip(TEXTS, vectors, strict=True):
        close(server.post("/embed", {"inputs": text}), [vector])
    close(server.post("/embed", {"inputs": TEXTS, "dimensions": 5}), length_1(vectors[:, :5]))
    close(server.post("/embed", {"inputs": TEXTS, "normalize": False}), vectors)  # the model's have length 1
    close(server.post("/embed", {"inputs": [LONG, "a"], "truncate": True}), own.vectors([LONG, "a"]))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of vectors of any length, with prompts."""
    folder = tmp_path_factory.mktemp("prompted") / "model"
    tokenizer = small_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.vocab_size, max_position_embeddings=64, initializer_range=0.6, **TINY_SHAPE
    )
    task = Embed(
        pooling=Pooling(normalize=False), prompts={"query": "who is ", "film": "a good film : "}, default_prompt="query"
    )
    model = task.build(config, torch.Generator().manual_seed(3))
    TaskModel(model, tokenizer, task, 64, choose_precision("fp32", torch.device("cpu"))).save(folder)
    return folder


def test_prompts_and_lengths_of_vectors(prompted: Path) -> None:
    def vectors(prompt: str | None) -> np.ndarray:
        return Embedder.open(prompted, prompt=prompt, precision="fp32", engine="torch", device="cpu").embed(TEXTS)

    plain = vectors(None)
    assert not np.allclose(np.linalg.norm(plain, axis=1), 1, atol=0.1)
    assert not np.allclose(plain, vectors("film"), atol=0.1)
    with running({"deep/er": prompted}) as server:
        for name in (None, "query", "film"):
            expected = vectors(name)
            asked: dict[str, Any] = {"inputs": TEXTS, "prompt_name": name}
            close(server.post("/embed", {**asked, "normalize": False}), expected)
            close(server.post("/embed", asked), length_1(expected))
            close(server.post("/embed", {**asked, "dimensions": 3}), length_1(expected[:, :3]))
            close(server.post("/embed", {**asked, "dimensions": 3, "normalize": False}), expected[:, :3])
            given = server.post("/v1/embeddings", {"input": TEXTS, "prompt_name": name, "dimensions": 9})
            close([one["embedding"] for one in given["data"]], expected[:, :9])
            cosines = length_1(expected)[1:] @ length_1(expected)[0]
            inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
            body = {"inputs": inputs, "parameters": {"prompt_name": name}}
            close(server.post("/similarity", body), cosines)
            pipeline = {"inputs": TEXTS, "parameters": {"prompt_name": name, "dimensions": 9}}
            close(server.post("/models/deep/er", pipeline), expected[:, :9])
            pipeline["parameters"] = {"prompt_name": name, "normalize": True}
            close(server.post("/", pipeline), length_1(expected))
        told = server.refused("/embed", {"inputs": "a", "prompt_name": "nix"})
        assert told == (422, "prompt_name: 'nix' is no prompt of deep/er; it has: 'query', 'film'")
        assert server.client.get("/v1/models/deep/er").json()["id"] == "deep/er"


@pytest.mark.parametrize("route", ["/v1/embeddings", "/embeddings"])
def test_openai_embeddings(server: Running, own: Own, route: str) -> None:
    vectors = own.vectors(TEXTS)
    ids = [[one["id"] for one in row] for row in server.post("/tokenize", {"inputs": TEXTS})]
    tokens = sum(map(len, ids))
    for body in ({"input": TEXTS}, {"input": ids}, {"input": [row[1:-1] for row in ids], "model": "embed"}):
        given = server.post(route, body)
        close([one.pop("embedding") for one in given["data"]], vectors)
        assert given == {
            "object": "list",
            "data": [{"object": "embedding", "index": place} for place in range(4)],
            "model": "embed",
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    for one in (TEXTS[0], ids[0]):
        close(server.post(route, {"input": one})["data"][0]["embedding"], vectors[0])
    given = server.post(route, {"input": TEXTS, "encoding_format": "base64", "dimensions": 7})
    rows = [np.frombuffer(base64.b64decode(one["embedding"]), dtype="<f4") for one in given["data"]]
    close(rows, length_1(vectors[:, :7]))
    long = [one["id"] for one in server.post("/tokenize", {"inputs": LONG})[0]]
    for text in (LONG, long):
        given = server.post(route, {"input": text, "truncate": True})
        close(given["data"][0]["embedding"], own.vectors([LONG])[0])
        assert given["usage"]["prompt_tokens"] == LENGTH


def test_similarity(server: Running, own: Own) -> None:
    texts = [*TEXTS, LONG]
    vectors = own.vectors(texts)
    body = {
        "inputs": {"source_sentence": texts[0], "sentences": texts[1:]},
        "parameters": {"truncate": True},
    }
    close(server.post("/similarity", body), vectors[1:] @ vectors[0])
    body["inputs"] = {"source_sentence": LONG, "sentences": [TEXTS[0]]}
    close(server.post("/similarity", body), [vectors[0] @ vectors[-1]])


# Labels and scores


def ranked(probabilities: dict[str, float]) -> list[dict[str, Any]]:
    """Labels as /predict gives them."""
    order = sorted(probabilities.items(), key=lambda one: -one[1])
    return [{"label": label, "score": score} for label, score in order]


@pytest.mark.parametrize(
    ("name", "inputs"), [("classify", [*TEXTS, LONG]), ("several", [*TEXTS, LONG]), ("pairs", [*PAIRS, ["who", LONG]])]
)
def test_predict_labels(server: Running, own: Own, name: str, inputs: list[Any]) -> None:
    asked = {"model": name, "truncate": True}
    answers = own.predict(name, inputs)
    expected = [ranked(answer["probabilities"]) for answer in answers]
    assert len({rows[0]["score"] for rows in expected}) == len({str(one) for one in inputs})
    same(server.post("/predict", {**asked, "inputs": inputs}), expected)
    for one, rows in zip(inputs, expected, strict=True):
        same(server.post("/predict", {**asked, "inputs": one}), rows)
        same(server.post("/predict", {**asked, "inputs": [one]}), [rows])
    labels = list(own.model(name).task.label_names or [])
    logits = [dict(zip(labels, row, strict=True)) for row in own.logits(name, inputs).astype(float).tolist()]
    same(server.post("/predict", {**asked, "inputs": inputs, "raw_scores": True}), list(map(ranked, logits)))


def test_predict_numbers(server: Running, own: Own) -> None:
    for inputs in (TEXTS, [*TEXTS, LONG]):
        expected = [[{"label": "score", "score": one["score"]}] for one in own.predict("regress", inputs)]
        for raw in (False, True):
            body = {"model": "regress", "inputs": inputs, "truncate": True, "raw_scores": raw}
            same(server.post("/predict", body), expected)
    same(server.post("/predict", {"model": "regress", "inputs": TEXTS[0]}), expected[0])
    expected = [[{"label": "score", "score": one["score"]}] for one in own.predict("rerank", PAIRS)]
    same(server.post("/predict", {"model": "rerank", "inputs": PAIRS}), expected)
    single = server.post("/predict", {"model": "several", "inputs": [["a good day"], ["a sad day"]]})
    same(single, server.post("/predict", {"model": "several", "inputs": ["a good day", "a sad day"]}))


def test_predict_of_a_reranker_takes_pairs_as_any_model_of_pairs(server: Running, own: Own) -> None:
    for route, inputs in (("/predict", ["a"]), ("/models/rerank", "a")):
        response = server.client.post(route, json={"model": "rerank", "inputs": inputs})
        assert server.logged("request", id=response.headers["x-request-id"])["status"] == 422
    (expected,) = own.predict("rerank", PAIRS[:1])
    same(server.post("/predict", {"model": "rerank", "inputs": PAIRS[0]}), [{"label": "score", **expected}])
    for inputs in ("a", ["a"], ["a", "b", "c"]):
        status, told = server.refused("/predict", {"model": "rerank", "inputs": inputs})
        assert (status, told) == (422, "inputs: rerank was trained on pairs of texts; give [[first, second], ...]")
    assert server.refused("/models/rerank", {"inputs": "a"})[0] == 422


def test_rerank(server: Running, own: Own) -> None:
    query, texts = "who sat on the mat", [*TEXTS, LONG, "the dog"]
    pairs = [(query, text) for text in texts]
    chances = [one["score"] for one in own.predict("rerank", pairs)]
    for raw, scores in ((False, chances), (True, own.logits("rerank", pairs)[:, 0].astype(float).tolist())):
        order = sorted(range(len(texts)), key=lambda place: -scores[place])
        body = {"model": "rerank", "query": query, "texts": texts, "truncate": True, "raw_scores": raw}
        same(server.post("/rerank", body), [{"index": place, "score": scores[place]} for place in order])
        expected = [{"index": place, "score": scores[place], "text": texts[place]} for place in order]
        same(server.post("/rerank", {**body, "return_text": True}), expected)
    assert len(set(chances)) == len(texts)
    one = server.post("/rerank", {"query": query, "texts": ["a good day"]})
    same(one, [{"index": 0, "score": own.predict("rerank", [(query, "a good day")])[0]["score"]}])


# Words, questions, choices, masks


def test_tag(server: Running, own: Own) -> None:
    texts = [*TEXTS, LONG, "where sad Ada sad good film 7 Ada"]  # of any length
    expected = own.predict("tag", texts)
    assert len(expected[-1]["spans"]) > 0
    same(server.post("/tag", {"inputs": texts}), expected)
    for text, one in zip(texts, expected, strict=True):
        same(server.post("/tag", {"inputs": text}), [one])
    words = [text.split() for text in texts if text]
    same(server.post("/tag", {"inputs": words}), own.predict("tag", words))
    assert sum(map(len, words)) == sum(len(one["tags"]) for one in server.post("/tag", {"inputs": words}))


def test_answer_in_both_shapes(server: Running, own: Own) -> None:
    pairs = [("who sat", TEXTS[0]), ("was it bad", TEXTS[3]), ("who", LONG), ("where", "")]
    expected = own.predict("answer", pairs)
    asked = [{"question": question, "context": context} for question, context in pairs]
    same(server.post("/answer", {"inputs": asked}), expected)
    for one, answer in zip(asked, expected, strict=True):
        same(server.post("/answer", one), answer)
        same(server.post("/answer", {"inputs": one}), answer)
        same(server.post("/answer", {"inputs": [one]}), [answer])
    long = {"question": "the cat sat on the mat " * 4, "context": TEXTS[0]}
    same(server.post("/answer", {**long, "truncate": True}), own.predict("answer", [(long["question"], TEXTS[0])])[0])
    told = server.refused("/answer", {"question": "who"})
    assert told == (422, "give a question and a context, or inputs with a list of them")


def test_choose(server: Running, own: Own) -> None:
    for prompt, endings in (
        ("the cat sat", ["on the mat", "in the park"]),
        ("", ["a", "b", "c", "d", "the dog"]),
        (LONG, ["on the mat", LONG]),
    ):
        body = {"prompt": prompt, "endings": endings, "truncate": True}
        same(server.post("/choose", body), own.predict("choose", [{"prompt": prompt, "endings": endings}])[0])
    told = server.refused("/choose", {"prompt": "a", "endings": ["b"]})
    assert told == (422, "endings: there is one; give two or more to choose from")


def test_fill(server: Running, model_folder: Callable[[str], Path]) -> None:
    language = LanguageModel.open(model_folder("fill"), device="cpu", precision="fp32")
    for text in ("the [MASK] sat on the mat", "[MASK] good [MASK] [MASK]"):
        for top in (1, 5, 100):
            expected = [[vars(guess) for guess in row] for row in language.fill(text, top=top)]
            same(server.post("/fill", {"inputs": text, "top_k": top}), expected)
        same(server.post("/fill", {"inputs": text}), [row[:5] for row in expected])


# Search


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, model_folder: Callable[[str], Path]) -> Path:
    place = Place(tmp_path_factory.mktemp("index"), model_folder("embed"))
    chance = random.Random(4)
    place.change({number: " ".join(chance.choices(WORDS, k=chance.randint(2, 9))) for number in range(60)})
    return place.index


@pytest.fixture(scope="module")
def searching(index: Path, model_folder: Callable[[str], Path]) -> Iterator[Running]:
    """A server with an index and models that judge."""
    names = ("classify", "embed", "regress", "rerank")
    with running({name: model_folder(name) for name in names}, indexes={"films": (index, "embed")}) as started:
        yield started


def as_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [vars(hit) for hit in hits]


def test_search(searching: Running, index: Path, own: Own) -> None:
    queries = ["a sad film", "who sat", "the dog ran in the park", ""]
    embedder = Embedder.open(own.folder("embed"), precision="fp32", engine="torch", device="cpu")
    searcher, judged = (Searcher(Index(index), embedder, judge) for judge in (None, own.model("rerank")))
    for number in (1, 7, 10, 1000):
        for query, hits, best in zip(
            queries, searcher.search(queries, number), judged.search(queries, number), strict=True
        ):
            assert len(hits) == len(best) == min(number, 60)
            same(searching.post("/search", {"query": query, "top": number}), as_json(hits))
            same(searching.post("/search", {"query": query, "top": number, "index": "films"}), as_json(hits))
            same(searching.post("/search", {"query": query, "top": number, "rerank": "rerank"}), as_json(best))
    assert len(searching.post("/search", {"query": "a"})) == 10
    for body, told in (
        ({"index": "nix"}, (404, "there is no index 'nix'; served are: films")),
        (
            {"rerank": "classify"},
            (422, "/search is for the task rerank or regress, and classify is of the task classify"),
        ),
        ({"top": 0}, (422, "top: does not fit; give a number from 1 to 1000")),
        ({"top": 1001}, (422, "top: does not fit; give a number from 1 to 1000")),
        ({"query": LONG}, (413, "the text has 182 tokens, more than the 64 that the model reads")),
    ):
        assert searching.refused("/search", {"query": "a", **body}) == told


def test_search_cannot_be_judged_by_a_model_of_single_texts(searching: Running) -> None:
    for route, body in (
        ("/search", {"query": "a", "rerank": "regress"}),
        ("/rerank", {"query": "a", "texts": ["a", "b"], "model": "regress"}),
    ):
        status, told = searching.refused(route, body)
        assert status == 422
        assert told == f"{route} is for models of pairs of texts, and regress was trained on single texts"


# Looking inside


@pytest.mark.parametrize("pair", [None, "a good day"])
def test_attention_is_that_of_transformers(
    server: Running, model_folder: Callable[[str], Path], pair: str | None
) -> None:
    transformers = pytest.importorskip("transformers")
    for name in ("embed", "fill", "rerank"):
        folder = model_folder(name)
        body = {"model": name, "text": TEXTS[0], **({"text_pair": pair} if pair else {})}
        given = server.post("/attention", body)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        asked = tokenizer(TEXTS[0], pair, return_tensors="pt")
        assert given["tokens"] == tokenizer.convert_ids_to_tokens(asked["input_ids"][0])
        assert given["segments"] == asked["token_type_ids"][0].tolist()
        model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        with torch.inference_mode():
            maps = model(**asked, output_attentions=True).attentions
        np.testing.assert_allclose(given["attentions"], torch.cat(maps).numpy(), atol=6e-5)  # of four digits


def test_attention_of_every_model(server: Running) -> None:
    for name in server.service.models:
        given = server.post("/attention", {"model": name, "text": "the cat", "text_pair": "sat"})
        assert given["tokens"] == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
        assert given["segments"] == [0, 0, 0, 0, 1, 1]
        maps = np.array(given["attentions"])
        assert maps.shape == (2, 2, 6, 6)
        np.testing.assert_allclose(maps.sum(-1), 1, atol=6 * 5e-5)
        assert maps.std(-1).min() > 0
    assert server.refused("/attention", {"text": LONG}) == (
        413,
        "the text has 182 tokens, more than the 64 of which attention is shown",
    )


def test_tokenize(server: Running) -> None:
    tokenizer = small_tokenizer()
    texts = [*TEXTS, "Ünable, cat's  mat\t5", "the [MASK] 😀 sat", LONG, "naïve"]
    held = tokenizer.encode_with_offsets(texts)
    bounds = held.ragged.bounds.tolist()
    given = server.post("/tokenize", {"inputs": texts})
    assert len(given) == len(texts)
    for text, row, first, end in zip(texts, given, bounds[:-1], bounds[1:], strict=True):
        assert [one["id"] for one in row] == held.ragged.ids[first:end].tolist()
        assert [one["text"] for one in row] == [tokenizer.vocabulary[one["id"]] for one in row]
        assert [one["special"] for one in row] == [True, *[False] * (len(row) - 2), True]
        assert [one["text"] for one in (row[0], row[-1])] == ["[CLS]", "[SEP]"]
        assert {(one["start"], one["stop"]) for one in (row[0], row[-1])} == {(None, None)}
        places = [(one["start"], one["stop"]) for one in row[1:-1]]
        assert places == [tuple(one) for one in held.offsets[first + 1 : end - 1].tolist()]
        for one in row[1:-1]:
            if one["text"] != "[UNK]" and text.isascii():
                assert text[one["start"] : one["stop"]].lower() == one["text"].removeprefix("##").lower()
        assert server.post("/tokenize", {"inputs": text}) == [row]
        plain = server.post("/tokenize", {"inputs": text, "add_special_tokens": False, "model": "fill"})
        assert plain == [row[1:-1]]


def test_decode_gives_back_what_was_tokenized(server: Running) -> None:
    tokenizer = small_tokenizer()
    texts = [*TEXTS, "unable , the mat ran"]
    ids = [[one["id"] for one in row] for row in server.post("/tokenize", {"inputs": texts})]
    decoded = server.post("/decode", {"ids": ids})
    assert decoded == [tokenizer.decode(row) for row in ids]
    assert [text.replace(" ", "") for text in decoded] == [text.replace(" ", "") for text in texts]
    again = [[one["id"] for one in row] for row in server.post("/tokenize", {"inputs": decoded})]
    assert again == ids
    assert server.post("/decode", {"ids": ids[0]}) == decoded[:1]
    shown = server.post("/decode", {"ids": ids, "skip_special_tokens": False, "model": "embed"})
    assert shown == [tokenizer.decode(row, skip_special=False) for row in ids]
    assert all(text.startswith("[CLS]") and text.endswith("[SEP]") for text in shown)
    for wrong in (-1, tokenizer.vocab_size, 2**31 - 1):
        status, told = server.refused("/decode", {"ids": [5, wrong]})
        assert (status, told) == (422, f"ids: there is no token {wrong}; classify has 0 to {tokenizer.vocab_size - 1}")


# What is served


def test_models(server: Running) -> None:
    listed = server.client.get("/v1/models").json()
    assert listed == server.client.get("/models").json()
    assert listed["object"] == "list"
    told = {one["id"]: one for one in listed["data"]}
    assert list(told) == [*TASKS, "fill"]
    facts = {
        "object": "model", "owned_by": "bertsmith", "max_length": LENGTH, "layers": 2, "heads": 2, "lowercase": True,
        "engine": "torch", "precision": "fp32", "dimensions": None, "labels": None, "pairs": None, "multi_label": False,
    }  # fmt: skip
    own: dict[str, dict[str, Any]] = {
        "classify": {"labels": ["bad", "good", "so-so"], "pairs": False},
        "pairs": {"task": "classify", "labels": ["no", "yes"], "pairs": True},
        "several": {"task": "classify", "labels": ["cats", "dogs"], "pairs": False, "multi_label": True},
        "regress": {"labels": ["score"], "pairs": False},
        "rerank": {"labels": ["score"], "pairs": True},
        "tag": {"labels": ["O", "B-PER", "I-PER"]},
        "embed": {"dimensions": 32},
    }
    for name, one in told.items():
        assert server.client.get(f"/v1/models/{name}").json() == one
        created = one.pop("created")
        assert isinstance(created, int)
        assert created == server.service.models[name].opened
        assert one == {**facts, "id": name, "task": name, **own.get(name, {})}
    gone = server.client.get("/v1/models/nix/deep")
    assert gone.status_code == 404
    assert gone.json()["error"]["message"].startswith("there is no model 'nix/deep'; served are: classify (classify), ")


def test_info(server: Running, searching: Running) -> None:
    first = server.client.get("/info").json()
    assert first == server.client.get("/info", params={"model": "classify"}).json()
    assert first["model_id"] == "classify"
    assert first["version"] == version("bertsmith")
    assert (first["max_input_length"], first["max_client_batch_size"]) == (LENGTH, 2048)
    assert (first["max_request_tokens"], first["max_body_bytes"], first["auto_truncate"]) == (300_000, 2_000_000, False)
    assert first["max_batch_tokens"] == server.service.models["classify"].engine.lane_tokens
    labels = {"id2label": {"0": "bad", "1": "good", "2": "so-so"}, "label2id": {"bad": 0, "good": 1, "so-so": 2}}
    assert first["model_type"] == {"classifier": labels}
    for name, kind in (
        ("embed", {"embedding": {"pooling": "mean"}}),
        ("rerank", {"reranker": {"id2label": {"0": "score"}, "label2id": {"score": 0}}}),
        ("answer", {"task": {"task": "answer"}}),
        ("fill", {"task": {"task": "fill"}}),
    ):
        told = server.client.get("/info", params={"model": name}).json()
        assert (told["model_id"], told["model_type"]) == (name, kind)
        assert told["models"] == first["models"]
    stripped = [
        {name: value for name, value in one.items() if name not in ("object", "created", "owned_by")}
        for one in server.client.get("/v1/models").json()["data"]
    ]
    assert first["models"] == stripped
    assert first["indexes"] == []
    assert searching.client.get("/info").json()["indexes"] == [{"id": "films", "texts": 60, "model": "embed"}]
    assert server.client.get("/info", params={"model": "nix"}).status_code == 404


def test_the_routes_of_operations(server: Running) -> None:
    assert server.client.get("/health").json() == {"status": "ready"}
    before = server.metric("bertsmith_texts_total", model="embed")
    server.post("/embed", {"inputs": ["a", "b", "c"]})
    page = server.client.get("/metrics").text
    assert f'bertsmith_texts_total{{model="embed"}} {before + 3}' in page.splitlines()
    for route in ("/", "/docs"):
        response = server.client.get(route)
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src" in response.headers["content-security-policy"]
    described = server.client.get("/openapi.json").json()["paths"]
    assert {"/embed", "/v1/embeddings", "/predict", "/rerank", "/answer", "/search"} <= set(described)
    assert server.client.get("/favicon.ico").status_code == 204
    status, told = server.refused("/reload", {})
    assert (status, "needs a server with --api-key-file" in told) == (403, True)


# Which model


PIPELINES: dict[str, tuple[Any, Callable[[Own], Any]]] = {
    "classify": (TEXTS[0], lambda own: [ranked(own.predict("classify", TEXTS[:1])[0]["probabilities"])]),
    "several": (
        TEXTS[:2],
        lambda own: [ranked(one["probabilities"]) for one in own.predict("several", TEXTS[:2])],
    ),
    "regress": (TEXTS[0], lambda own: [[{"label": "score", **own.predict("regress", TEXTS[:1])[0]}]]),
    "embed": (TEXTS, lambda own: own.vectors(TEXTS).astype(float).tolist()),
    "tag": (
        TEXTS[3],
        lambda own: [
            {"entity_group": one["type"], "word": one["text"], "start": one["start"], "end": one["end"]}
            for one in own.predict("tag", [TEXTS[3]])[0]["spans"]
        ],
    ),
    "answer": (
        {"question": "who sat", "context": TEXTS[0]},
        lambda own: {
            name: own.predict("answer", [("who sat", TEXTS[0])])[0][known]
            for name, known in (("answer", "answer"), ("score", "probability"), ("start", "start"), ("end", "end"))
        },
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_address_of_a_model(server: Running, own: Own, model_folder: Callable[[str], Path], name: str) -> None:
    """And that of a server of one model."""
    inputs, expected = PIPELINES[name]
    same(server.post(f"/models/{name}", {"inputs": inputs}), expected(own))
    with running({"any": model_folder(name)}) as alone:
        same(alone.post("/", {"inputs": inputs}), expected(own))
        same(alone.post("/models/any", {"inputs": inputs, "parameters": {}}), expected(own))


def test_parameters_at_the_address_of_a_model(server: Running, own: Own) -> None:
    (labels,) = server.post("/models/classify", {"inputs": TEXTS[0], "parameters": {"top_k": 2}})
    assert len(labels) == 2
    for name in ("truncate", "truncation"):
        given = server.post("/models/classify", {"inputs": LONG, "parameters": {name: True}})
        same(given, [ranked(own.predict("classify", [LONG])[0]["probabilities"])])
    body = {"inputs": TEXTS, "parameters": {"dimensions": 4, "normalize": True}}
    close(server.post("/models/embed", body), length_1(own.vectors(TEXTS)[:, :4]))
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    vectors = own.vectors(TEXTS)
    close(server.post("/models/embed", body), vectors[1:] @ vectors[0])
    (guess,) = server.post("/models/fill", {"inputs": "the [MASK]", "parameters": {"top_k": 1}})
    assert guess["sequence"] == f"the {guess['token_str']}"
    assert small_tokenizer().vocabulary[guess["token"]] == guess["token_str"]
    assert len(server.post("/models/fill", {"inputs": "[MASK] the [MASK]", "parameters": {"top_k": 1}})) == 2
    told = server.refused("/models/choose", {"inputs": "a"})
    assert told == (422, "choose is of the task choose, which huggingface_hub has no method for; use /choose")
    for wrong in (
        {"dimensions": "four"}, {"dimensions": 1.5}, {"dimensions": 0}, {"dimensions": 33}, {"dimensions": [4]},
        {"prompt_name": 5}, {"prompt_name": []}, {"prompt_name": {}}, {"prompt_name": "nix"},
        {"normalize": "maybe"}, {"truncate": []},
    ):  # fmt: skip
        (name,) = wrong
        status, told = server.refused("/models/embed", {"inputs": TEXTS, "parameters": wrong})
        assert status == 422
        assert name in told
    status, told = server.refused("/models/pairs", {"inputs": "a"})
    assert (status, "was trained on pairs of texts" in told) == (422, True)


FITTING: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "/embed": ("embed", {"inputs": "a"}, ["embed"]),
    "/v1/embeddings": ("embed", {"input": "a"}, ["embed"]),
    "/similarity": ("embed", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, ["embed"]),
    "/predict": ("classify", {"inputs": "a"}, ["classify", "regress", "rerank"]),
    "/rerank": ("rerank", {"query": "a", "texts": ["b", "c"]}, ["rerank", "regress"]),
    "/tag": ("tag", {"inputs": "a"}, ["tag"]),
    "/answer": ("answer", {"question": "a", "context": "b"}, ["answer"]),
    "/choose": ("choose", {"prompt": "a", "endings": ["b", "c"]}, ["choose"]),
    "/fill": ("fill", {"inputs": "a [MASK]"}, ["fill"]),
}


@pytest.mark.parametrize("route", FITTING)
def test_the_first_model_that_fits_answers_and_others_are_told_so(server: Running, route: str) -> None:
    first, body, tasks = FITTING[route]
    named = server.post(route, {**body, "model": first})
    for unnamed in (body, {**body, "model": None}):
        same(server.post(route, unnamed), named)
    assert server.logged("request", path=route, status=200)["model"] == first
    for name, served in server.service.models.items():
        if served.task not in tasks:
            told = server.refused(route, {**body, "model": name})
            wanted = f"{route} is for the task {' or '.join(tasks)}, and {name} is of the task {served.task}"
            assert told == (422, wanted)
    status, told = server.refused(route, {**body, "model": "nix"})
    assert (status, told.startswith("there is no model 'nix'; served are: classify (classify), ")) == (404, True)


@pytest.mark.parametrize("route", FITTING)
def test_where_no_model_fits_it_is_said(model_folder: Callable[[str], Path], route: str) -> None:
    other = "tag" if route != "/tag" else "embed"
    _, body, tasks = FITTING[route]
    with running({"m": model_folder(other)}) as server:
        told = server.refused(route, body)
        wanted = f"{route} needs a model of the task {' or '.join(tasks)}, and none is served (m ({other}))"
        assert told == (404, wanted)
        assert server.refused("/search", {"query": "a"}) == (
            404,
            "no index is served; start the server with --index FOLDER",
        )


# Company


def test_answers_do_not_depend_on_company(model_folder: Callable[[str], Path]) -> None:
    """64 requests at once, of all lengths and routes, are answered as one by one."""
    chance = random.Random(8)

    def text(most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(0, most)))

    def body(route: str) -> dict[str, Any]:
        if route == "/embed":
            return {"inputs": [text(60) for _ in range(chance.randint(1, 12))]}
        if route == "/predict":
            return {"inputs": [text(60) for _ in range(chance.randint(1, 6))], "raw_scores": True}
        if route == "/rerank":
            return {"model": "rerank", "query": text(9), "texts": [text(40) for _ in range(5)], "raw_scores": True}
        if route == "/tag":
            return {"inputs": [text(200), text(5)]}
        if route == "/answer":
            return {"question": text(8), "context": text(250)}
        if route == "/choose":
            return {"prompt": text(20), "endings": ["a " + text(9), "b " + text(9), "c " + text(20)]}
        return {"inputs": f"{text(25)} [MASK] {text(25)}"}

    routes = ["/embed", "/predict", "/rerank", "/tag", "/answer", "/choose", "/fill"]
    asked = [(route, body(route)) for route in (routes * 10)[:64]]
    models = {name: model_folder(name) for name in ("embed", "classify", "rerank", "tag", "answer", "choose", "fill")}
    with running(models, limits=Limits(max_wait=600)) as server, ThreadPoolExecutor(64) as crowd:
        alone = [server.post(*one) for one in asked]
        for _ in range(4):
            order = chance.sample(range(64), 64)
            for place, answer in zip(order, crowd.map(lambda place: server.post(*asked[place]), order), strict=True):
                same(answer, alone[place], atol=1e-5)


# Too long


TOO_LONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "embed": ("/embed", {"inputs": ["a", LONG]}, "text 2 of 2 has 182 tokens"),
    "openai": ("/v1/embeddings", {"input": LONG}, "the text has 182 tokens"),
    "ids": ("/v1/embeddings", {"input": [5] * 100}, "the text has 102 tokens"),
    "similarity": (
        "/similarity",
        {"inputs": {"source_sentence": "a", "sentences": ["a", LONG]}},
        "text 3 of 3 has 182 tokens",
    ),
    "classify": ("/predict", {"model": "classify", "inputs": LONG}, "the text has 182 tokens"),
    "several": ("/predict", {"model": "several", "inputs": [LONG, "a"]}, "text 1 of 2 has 182 tokens"),
    "pairs": ("/predict", {"model": "pairs", "inputs": ["who sat", LONG]}, "the text has 185 tokens"),
    "regress": ("/predict", {"model": "regress", "inputs": LONG}, "the text has 182 tokens"),
    "rerank": ("/rerank", {"model": "rerank", "query": "who", "texts": ["a", LONG]}, "text 2 of 2 has 184 tokens"),
    "fill": ("/fill", {"inputs": LONG + "[MASK]"}, "the text has 183 tokens"),
    "address": ("/models/classify", {"inputs": LONG}, "the text has 182 tokens"),
    "address of vectors": ("/models/embed", {"inputs": LONG}, "the text has 182 tokens"),
}


@pytest.mark.parametrize("what", TOO_LONG)
def test_what_is_too_long_is_refused_with_its_tokens(server: Running, what: str) -> None:
    route, body, wanted = TOO_LONG[what]
    status, told = server.refused(route, body)
    assert status == 413
    assert told.startswith(f"{wanted}, more than the 64 that the model reads")


def test_a_choice_that_is_too_long_is_refused_with_its_tokens(server: Running) -> None:
    told = server.refused("/choose", {"prompt": LONG, "endings": ["a", "b"]})
    assert told == (413, "text 1 of 2 has 184 tokens, more than the 64 that the model reads")


@pytest.mark.parametrize("truncate", [True, False])
def test_a_query_that_is_too_long_for_reranking_is_refused_with_its_tokens(server: Running, truncate: bool) -> None:
    body = {"model": "rerank", "query": LONG, "texts": ["a", "b"], "truncate": truncate}
    status, told = server.refused("/rerank", body)
    assert status == 413
    assert told == "the text has 180 tokens, more than the 60 that leave a document room beside a query"


def test_a_question_may_be_too_long_but_not_a_context_or_a_text_for_tags(server: Running) -> None:
    asked = {"question": "the cat " * 9, "context": LONG}
    told = server.refused("/answer", asked)
    assert told == (413, "the text has 18 tokens, more than the 16 that a question may have")
    assert server.post("/answer", {**asked, "question": "the cat " * 8})["nbest"]
    assert len(server.post("/tag", {"inputs": LONG})[0]["tags"]) == 180


def test_no_more_texts_and_tokens_than_the_limits_say(server: Running) -> None:
    assert len(server.post("/embed", {"inputs": ["a"] * 2048})) == 2048
    for route, body, name in (
        ("/embed", {"inputs": ["a"] * 2049}, "inputs"),
        ("/v1/embeddings", {"input": ["a"] * 2049}, "input"),
        ("/predict", {"inputs": ["a"] * 2049}, "inputs"),
        ("/rerank", {"query": "a", "texts": ["a"] * 2049}, "texts"),
        ("/tag", {"inputs": ["a"] * 2049}, "inputs"),
        ("/tokenize", {"inputs": ["a"] * 2049}, "inputs"),
        ("/decode", {"ids": [[5]] * 2049}, "ids"),
        ("/choose", {"prompt": "a", "endings": ["a"] * 2049}, "endings"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 2049}}, "inputs.sentences"),
        ("/answer", {"inputs": [{"question": "a", "context": "a"}] * 2049}, "inputs"),
    ):
        told = server.refused(route, body)
        assert told == (413, f"{name}: 2,049 texts, and a request may have 2,048; send several")
    words = "a " * 300_000
    for route, body in (
        ("/tokenize", {"inputs": words}),
        ("/tag", {"inputs": words}),
        ("/answer", {"question": "a", "context": words}),
    ):
        status, told = server.refused(route, body)
        assert status == 413
        assert told.endswith(" tokens, and a request may have 300,000; send several")
