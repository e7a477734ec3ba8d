"""whiten: the map is numpy's, the folder opens in sentence-transformers, and what is refused in a line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import spearmanr

from bertsmith.cli.app import run
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import OutputError
from bertsmith.settings import from_flat
from bertsmith.stages.whiten import Compared, WhitenSettings, whiten

from ..tiny_models import WORDS

Folder = Callable[[str], Path]
Vectors = NDArray[np.float64]
EXACT: dict[str, Any] = {"precision": "fp32", "engine": "torch"}


def drawn(number: int, seed: int = 0) -> list[str]:
    """Different random texts of three to twelve words."""
    chance = random.Random(seed)
    made = {" ".join(chance.choices(WORDS, k=chance.randint(3, 12))): None for _ in range(2 * number)}
    return list(made)[:number]


TEXTS, OTHERS = drawn(300), drawn(40, seed=1)
RANK = 31  # of 32: the numbers that a fresh LayerNorm gives add up to 0


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "t.txt", TEXTS)


def whitened(source: Path, model: Path, **options: Any) -> dict[str, Compared]:
    """A run without a word of its notes."""
    settings = from_flat(WhitenSettings, {"input": str(source), "model": str(model), **EXACT, **options})
    return whiten(settings, console=Console(quiet=True))


def embedded(model: Path, texts: Sequence[str], **options: Any) -> Vectors:
    return Embedder.open(model, **EXACT, **options).embed(texts).astype(np.float64)


def cosines(vectors: Vectors, others: Vectors) -> Vectors:
    products: Vectors = vectors @ others.T
    lengths = np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(others, axis=1)
    return products / lengths


def twin(vectors: Vectors, others: Vectors, keep: int) -> Vectors:
    """Cosines of others after the whitening of vectors, from a singular value decomposition."""
    centred = vectors - vectors.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    mapped = (others - vectors.mean(0)) @ (directions[:keep].T / values[:keep])
    return cosines(mapped, mapped)


@pytest.mark.parametrize(
    ("keep", "pooling"), [(0, None), (8, None), (12, "cls"), (12, "first-last"), (8, "mean-sqrt")], ids=str
)
def test_the_folder_opens_in_sentence_transformers_with_the_vectors_of_a_twin(
    keep: int, pooling: str | None, model_folder: Folder, source: Path, tmp_path: Path
) -> None:
    library = pytest.importorskip("sentence_transformers")
    model, out = model_folder("embed"), tmp_path / "deep" / "white"
    whitened(source, model, out=str(out), keep=keep, pooling=pooling)
    ours = embedded(out, OTHERS)
    assert ours.shape == (len(OTHERS), keep or RANK)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)

    plain = {"pooling": pooling, "normalize": False}
    expected = twin(embedded(model, TEXTS, **plain), embedded(model, OTHERS, **plain), keep or RANK)
    np.testing.assert_allclose(ours @ ours.T, expected, atol=1e-3)
    peer = library.SentenceTransformer(str(out), device="cpu")
    np.testing.assert_allclose(peer.encode(OTHERS), ours, atol=1e-4)


def test_vectors_of_the_texts_lie_evenly_then(
    model_folder: Folder, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As told, and as the vectors of both models show when all pairs of them are compared."""
    model, out = model_folder("embed"), tmp_path / "white"
    found = whitened(source, model, out=str(out))
    pairs = np.triu_indices(len(TEXTS), 1)
    for name, place in (("before", model), ("after", out)):
        vectors = embedded(place, TEXTS)
        assert found[name].geometry.mean_cosine == pytest.approx(
            float(cosines(vectors, vectors)[pairs].mean()), abs=1e-5
        )
    before, after = found["before"].geometry, found["after"].geometry
    assert before.mean_cosine > 0.3
    assert abs(after.mean_cosine) < 0.05
    assert after.effective_rank == pytest.approx(RANK, abs=0.01)
    assert before.effective_rank < 20

    table = capsys.readouterr().out
    assert f"{before.mean_cosine:.3f}" in table
    assert "mean cosine of pairs" in table
    assert "token embeddings by frequency" in table


def test_scores_of_pairs_are_those_of_both_models(
    model_folder: Folder, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(5)
    rows = list(zip(OTHERS[:20], OTHERS[20:], [chance.randint(0, 50) / 10 for _ in range(20)], strict=True))
    pairs = write(tmp_path / "p.tsv", ["sentence1\tsentence2\tscore", *("\t".join(map(str, row)) for row in rows)])
    out = tmp_path / "white"
    found = whitened(source, model_folder("embed"), out=str(out), keep=8, eval=str(pairs), json=True)
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["before", "after", "token_embeddings"]
    assert told["after"]["dimensions"] == 8
    for name, place in (("before", model_folder("embed")), ("after", out)):
        vectors = embedded(place, OTHERS)
        alike = np.diag(cosines(vectors[:20], vectors[20:]))
        expected = float(spearmanr(alike, [score for _, _, score in rows]).statistic)
        assert found[name].scores["spearman"] == pytest.approx(expected)
        assert told[name]["spearman"] == pytest.approx(expected)
        assert told[name]["mean_cosine"] == pytest.approx(found[name].geometry.mean_cosine)
    assert found["before"].scores != found["after"].scores


def test_without_a_place_nothing_is_written(model_folder: Folder, source: Path, tmp_path: Path) -> None:
    held = sorted(path.name for path in model_folder("embed").rglob("*"))
    whitened(source, model_folder("embed"))
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]
    assert sorted(path.name for path in model_folder("embed").rglob("*")) == held


def test_an_encoder_of_another_task_gets_the_mean_of_its_tokens(
    model_folder: Folder, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "white"
    model = model_folder("tag")
    words = ["--input", str(source), "--model", str(model), "--out", str(out), "--precision", "fp32", "--keep", "16"]
    assert run(["whiten", *words]) == 0
    notes = capfd.readouterr().err.splitlines()
    assert notes[0] == f"note: {model}: not trained for sentences; a text gets the mean of its tokens"
    assert notes[-1] == f"the whitened model is in {out}"
    ours = embedded(out, OTHERS)
    expected = twin(embedded(model, TEXTS, normalize=False), embedded(model, OTHERS, normalize=False), 16)
    np.testing.assert_allclose(ours @ ours.T, expected, atol=1e-3)


def test_a_whitened_model_is_whitened_again_without_its_map(
    model_folder: Folder, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    whitened(source, model_folder("embed"), out=str(first), keep=8)
    line = refused(capfd, source, first, "--out", str(second))
    assert line == (
        f"{first}: has a linear map behind its pooling already; give --pooling mean to leave it out"
    )  # fmt: skip
    assert not second.exists()
    whitened(source, first, out=str(second), keep=8, pooling="mean")
    np.testing.assert_allclose(embedded(second, OTHERS), embedded(first, OTHERS), atol=1e-5)


def test_a_model_is_replaced_only_when_told_to(model_folder: Folder, source: Path, tmp_path: Path) -> None:
    """And it is told before the model is opened."""
    out = tmp_path / "white"
    whitened(source, model_folder("embed"), out=str(out), keep=8)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="white: holds a model; give --overwrite to replace it"):
        whitened(tmp_path / "none.txt", Path("no/such/model"), out=str(out))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    whitened(source, model_folder("embed"), out=str(out), keep=4, overwrite=True)
    assert embedded(out, OTHERS).shape == (len(OTHERS), 4)


def refused(capfd: pytest.CaptureFixture[str], source: Path, model: Path, *words: str) -> str:
    """The one line that the command says as it fails."""
    capfd.readouterr()
    code = run(["whiten", "--input", str(source), "--model", str(model), "--precision", "fp32", *words])
    captured = capfd.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1), captured.err
    return captured.err.removeprefix("bertsmith: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("texts", "words", "message"),
    [
        (TEXTS[:32], [], "{source}: 32 texts for vectors of 32; a whitening needs many more, some thousands"),
        (["the cat"] * 40, [], "{source}: all texts have the same vector; give different ones"),
        (TEXTS, ["--keep", "-1"], "--keep is -1; it must be 0 or more"),
        (TEXTS, ["--dimensions", "8"], "--dimensions: a whitening chooses its own; give --keep for the number of them"),
    ],
    ids=["few", "equal", "keep", "dimensions"],
)
def test_what_cannot_be_whitened_is_told_in_a_line(
    texts: list[str], words: list[str], message: str, model_folder: Folder, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, out = write(tmp_path / "t.txt", texts), tmp_path / "white"
    assert refused(capfd, source, model_folder("embed"), "--out", str(out), *words) == message.format(source=source)
    assert not out.exists()
