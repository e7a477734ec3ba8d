"""search, against all cosines; the model of an index; and a cross-encoder that orders anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.cli.app import run
from bertsmith.embedding.index import Hit
from bertsmith.engine.embedder import Embedder
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.search import SearchSettings, search

from ..tiny_models import WORDS
from .conftest import refused
from .indexes import Place, changed_model

Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]

HOW = EmbedderOptions(precision="fp32", engine="torch")
EXACT = ["--precision", "fp32", "--engine", "torch"]
QUERIES = ("the cat sat", "a fine film", "who ran in the park")


TEXTS = {f"t{place}": " ".join(words) for place, words in enumerate(np.random.default_rng(1).choice(WORDS, (60, 5)))}


@pytest.fixture
def place(place: Place) -> Place:
    """With an index of `TEXTS`."""
    place.change(TEXTS)
    return place


def asked(place: Place, *words: str) -> list[str]:
    return ["search", "--index", str(place.index), *words, *EXACT]


def expected(embedder: Embedder, top: int) -> list[list[str]]:
    """The ids of the nearest texts, by comparing all."""
    vectors, queries = embedder.embed(list(TEXTS.values())), embedder.embed(QUERIES)
    order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :top]
    return [[list(TEXTS)[place] for place in row] for row in order.tolist()]


def ids(found: list[list[Hit]]) -> list[list[str]]:
    return [[hit.id for hit in hits] for hits in found]


# Hits


def test_hits_are_the_greatest_cosines(place: Place, capfd: Capture) -> None:
    capfd.readouterr()
    assert run(asked(place, *(word for query in QUERIES for word in ("--query", query)), "--top", "7")) == 0
    told = capfd.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert told.err == ""
    assert [row["query"] for row in rows] == list(QUERIES)
    embedder = Embedder.open(place.model, precision="fp32", engine="torch")
    assert [[hit["id"] for hit in row["hits"]] for row in rows] == expected(embedder, 7)
    for row in rows:
        for hit in row["hits"]:
            assert list(hit) == ["id", "text", "score"]
            assert hit["text"] == TEXTS[hit["id"]]
            one, other = embedder.embed([row["query"], hit["text"]])
            assert hit["score"] == pytest.approx(float(one @ other), abs=1e-5)


def test_vectors_are_made_as_the_index_was(place: Place, capfd: Capture) -> None:
    """Pooling, cut and length need not be named again."""
    kind = {"pooling": "cls", "dimensions": 9, "max_length": 5}
    place.change(TEXTS, "--overwrite", "--pooling", "cls", "--dimensions", "9", "--max-length", "5")
    found = search(SearchSettings(str(place.index), QUERIES, top=4, how=HOW))
    assert ids(found) == expected(Embedder.open(place.model, precision="fp32", engine="torch", **kind), 4)
    told = refused(asked(place, "--query", "a", "--pooling", "mean"), capfd)
    assert told.startswith(f"{place.index}: made with another model, or another pooling, cut or prompt, than ")


def test_the_starter_finds_what_is_meant(starter_folder: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, starter_folder)
    place.change({"zip": "gzip makes archives smaller", "cook": "the soup needs salt", "rail": "trains run late"})
    queries = ("how do I compress a file", "cooking a meal", "is public transport on time?")
    found = search(SearchSettings(str(place.index), queries, top=1, how=HOW))
    assert ids(found) == [["zip"], ["cook"], ["rail"]]


def test_more_than_there_are_gives_all(place: Place, capfd: Capture) -> None:
    capfd.readouterr()
    (hits,) = search(SearchSettings(str(place.index), ("bad",), top=61, how=HOW))
    assert {hit.id: hit.text for hit in hits} == TEXTS
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert capfd.readouterr().err == "note: the index has 60 texts; all of them are ranked\n"
    search(SearchSettings(str(place.index), ("bad",), top=60, how=HOW))
    assert capfd.readouterr().err == ""


def test_where_everything_is_deleted_nothing_is_found(place: Place, judge: Path) -> None:
    assert run(place.delete(*TEXTS)) == 0
    for rerank in (None, str(judge)):
        assert search(SearchSettings(str(place.index), QUERIES, rerank=rerank, how=HOW)) == [[], [], []]
    place.change({"a": "a cat"}, "--add")
    assert ids(search(SearchSettings(str(place.index), ("a cat",), how=HOW))) == [["a"]]


# The model


def test_a_model_that_is_no_longer_where_it_was(place: Place, capfd: Capture) -> None:
    home, away = place.folder / "home", place.folder / "away"
    place.model = shutil.copytree(place.model, home)
    place.change(TEXTS, "--overwrite")
    before = search(SearchSettings(str(place.index), QUERIES, how=HOW))
    home.rename(away)
    assert refused(asked(place, "--query", "a"), capfd).startswith(
        f"{place.index}: its model was in {home}, which is gone"
    )
    assert search(SearchSettings(str(place.index), QUERIES, model=str(away), how=HOW)) == before
    other = changed_model(away, place.folder / "other")
    told = refused(asked(place, "--query", "a", "--model", str(other)), capfd)
    assert told.startswith(f"{place.index}: made with another model, or another pooling, cut or prompt, than {other} (")


def test_a_relative_name_of_a_model_is_found_from_elsewhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.model.parent)
    place.model = Path(place.model.name)
    place.change(TEXTS, "--overwrite")
    monkeypatch.chdir(place.index.parent)
    assert len(search(SearchSettings(place.index.name, ("the cat",), how=HOW))[0]) == 10


# Reranking


@pytest.fixture(scope="module")
def judge(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder, trained for a moment on pairs that belong together."""
    place = tmp_path_factory.mktemp("judge")
    rows = [{"query": f"who {one}", "positive": f"the {one} sat on {place}"} for place, one in enumerate(WORDS * 2)]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--task", "rerank", "--train", str(place / "pairs.jsonl"), "--model", str(model_folder("classify"))]
    assert run(["finetune", *words, "--out", str(place / "model"), "--steps", "4", "--precision", "fp32"]) == 0
    metrics = json.loads((place / "model" / "metrics.json").read_text())
    assert "average_precision" in json.dumps(metrics["eval"])  # on a part that it held out by itself
    return place / "model"


def test_a_cross_encoder_orders_the_best_anew(place: Place, judge: Path) -> None:
    """It sees five times as many as are shown, and its scores are those of transformers on the same folder."""
    transformers = pytest.importorskip("transformers")
    plain = search(SearchSettings(str(place.index), QUERIES, top=15, how=HOW))
    found = search(SearchSettings(str(place.index), QUERIES, top=3, rerank=str(judge), how=HOW))
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(judge).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(judge)
    for query, candidates, hits in zip(QUERIES, plain, found, strict=True):
        pairs = [[query, hit.text] for hit in candidates]
        with torch.inference_mode():
            logits = peer(**tokenizer(pairs, return_tensors="pt", padding=True)).logits[:, 0]
        scores = dict(zip((hit.id for hit in candidates), logits.sigmoid().tolist(), strict=True))
        assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True)[:3], abs=1e-5)
        assert [scores[hit.id] for hit in hits] == pytest.approx([hit.score for hit in hits], abs=1e-5)
        assert [hit.text for hit in hits] == [TEXTS[hit.id] for hit in hits]
    assert ids(found) != [hits[:3] for hits in ids(plain)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--rerank {classify}", "a model of the task 'classify'; give one of the task rerank"),
        ("--rerank {embed}", "a model of the task 'embed'; give one of the task rerank"),
        ("--rerank {folder}", "{folder}: is no checkpoint, it has no config.json"),
        ("--top 0", "--top is 0; it must be 1 or more"),
    ],
)
def test_an_option_that_cannot_be(words: str, message: str, place: Place, model_folder: Folder, capfd: Capture) -> None:
    known = {"classify": model_folder("classify"), "embed": place.model, "folder": place.folder}
    told = refused(asked(place, "--query", "a cat", *words.format(**known).split()), capfd)
    assert message.format(**known) in told


def test_a_blank_query_and_a_folder_without_an_index(tmp_path: Path, capfd: Capture) -> None:
    for query in ("", " \t"):
        words = ["search", "--index", str(tmp_path), "--query", "a cat", "--query", query]
        assert refused(words, capfd) == "--query is blank; say what to look for"
    told = refused(["search", "--index", str(tmp_path), "--query", "a cat"], capfd)
    assert told.startswith(f"{tmp_path}: holds no index; make one with: bertsmith index --input FILE --out {tmp_path}")
