"""similar: the pairs that comparing all texts one by one finds, as JSON lines and as a table."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.cli.app import run
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import SettingsError
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.similar import SimilarSettings, similar
from bertsmith.stages.text_rows import TextColumns

from ..tiny_models import WORDS

Folder = Callable[[str], Path]
HOW = EmbedderOptions(precision="fp32", engine="torch")
EXACT = ["--precision", "fp32", "--engine", "torch"]


def drawn(number: int, seed: int = 0) -> list[str]:
    """Different random texts of two to eight words."""
    chance = random.Random(seed)
    made = {" ".join(chance.choices(WORDS, k=chance.randint(2, 8))): None for _ in range(2 * number)}
    return list(made)[:number]


def write(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def all_pairs(model: Path, texts: Sequence[str]) -> list[tuple[float, tuple[int, int]]]:
    """The cosine of every pair of rows, one by one in float64, the greatest first."""
    vectors = Embedder.open(model, precision="fp32", engine="torch").embed(texts).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = combinations(range(len(texts)), 2)
    return sorted(((float(vectors[one] @ vectors[two]), (one, two)) for one, two in rows), reverse=True)


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_pairs_are_those_of_comparing_all_one_by_one(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = drawn(60)
    expected = all_pairs(model_folder("embed"), texts)[:26]
    assert expected[24][0] - expected[25][0] > 1e-5  # which are the 25 greatest is no matter of rounding
    source = write(tmp_path / "t.txt", texts)
    pairs = similar(SimilarSettings(str(source), str(model_folder("embed")), top=25, how=HOW))
    assert [pair.cosine for pair in pairs] == pytest.approx([cosine for cosine, _ in expected[:25]], abs=1e-5)
    assert {(pair.first, pair.second) for pair in pairs} == {rows for _, rows in expected[:25]}

    printed = lines_of(capsys.readouterr().out)
    assert [list(line) for line in printed] == [["cosine", "rows", "texts"]] * 25
    for line, pair in zip(printed, pairs, strict=True):
        assert line["cosine"] == pytest.approx(pair.cosine)
        assert line["rows"] == [pair.first + 1, pair.second + 1]
        assert line["texts"] == [texts[pair.first], texts[pair.second]]


def test_least_leaves_out_what_is_less_alike(model_folder: Folder, tmp_path: Path) -> None:
    texts = drawn(40, seed=1)
    every = all_pairs(model_folder("embed"), texts)
    place = next(place for place in range(30, len(every)) if every[place][0] - every[place + 1][0] > 1e-4)
    least = (every[place][0] + every[place + 1][0]) / 2
    source = write(tmp_path / "t.txt", texts)
    pairs = similar(SimilarSettings(str(source), str(model_folder("embed")), top=10**6, least=least, how=HOW))
    assert {(pair.first, pair.second) for pair in pairs} == {rows for _, rows in every[: place + 1]}
    for wrong in (1.1, float("nan")):
        with pytest.raises(SettingsError, match="cosines are from -1 to 1"):
            SimilarSettings(str(source), least=wrong)


def test_more_pairs_than_there_are_is_all_of_them(model_folder: Folder, tmp_path: Path) -> None:
    source = write(tmp_path / "t.txt", drawn(7))
    pairs = similar(SimilarSettings(str(source), str(model_folder("embed")), top=1000, how=HOW))
    assert sorted((pair.first, pair.second) for pair in pairs) == list(combinations(range(7), 2))
    cosines = [pair.cosine for pair in pairs]
    assert cosines == sorted(cosines, reverse=True)


def test_equal_texts_are_the_most_alike(model_folder: Folder, tmp_path: Path) -> None:
    texts = drawn(30, seed=2)
    texts[11] = texts[25] = texts[4]
    texts[20] = texts[8]
    source = write(tmp_path / "t.txt", texts)
    pairs = similar(SimilarSettings(str(source), str(model_folder("embed")), top=4, how=HOW))
    assert {(pair.first, pair.second) for pair in pairs} == {(4, 11), (4, 25), (11, 25), (8, 20)}
    assert [pair.cosine for pair in pairs] == pytest.approx([1] * 4, abs=1e-6)
    assert all(pair.cosine <= 1 for pair in pairs)


def test_texts_that_mean_alike_are_found(starter_folder: Path, tmp_path: Path) -> None:
    texts = [
        "How do I compress a file?",
        "The cat slept all afternoon.",
        "What is the capital of France?",
        "A kitten was asleep for hours.",
        "Making an archive smaller with zip",
        "Which city is the seat of the French government?",
    ]
    source = write(tmp_path / "t.txt", texts)
    pairs = similar(SimilarSettings(str(source), str(starter_folder), top=3, how=HOW))
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 4), (1, 3), (2, 5)}


def test_columns_of_a_table(model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The column is named, and rows count from the first below the header."""
    texts = drawn(9, seed=3)
    rows = [f"{number},{text},{texts[0]}" for number, text in enumerate(texts)]
    source = write(tmp_path / "t.csv", ["id,title,text", *rows])
    settings = SimilarSettings(str(source), str(model_folder("embed")), top=1, file=TextColumns("title"), how=HOW)
    (pair,) = similar(settings)
    assert (pair.first, pair.second) == all_pairs(model_folder("embed"), texts)[0][1]
    assert lines_of(capsys.readouterr().out)[0]["texts"] == [texts[pair.first], texts[pair.second]]


def test_a_table_for_a_person(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets of a text are no markup, and --json prints lines on a terminal as well."""
    source = write(tmp_path / "t.txt", ["the [bold] cat", "the [bold] cat", "a sad film"])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    similar(SimilarSettings(str(source), str(model_folder("embed")), top=1, how=HOW))
    out = capsys.readouterr().out
    assert out.count("the [bold] cat") == 2
    assert "1.000" in out
    similar(SimilarSettings(str(source), str(model_folder("embed")), top=1, json=True, how=HOW))
    assert lines_of(capsys.readouterr().out)[0]["rows"] == [1, 2]


@pytest.mark.parametrize(
    ("texts", "words", "message"),
    [
        (["the cat"], [], "{source}: one text alone; give two or more to compare"),
        (["the cat", "a dog"], ["--top", "0"], "--top is 0; it must be 1 or more"),
        ([], [], "{source}: the file is empty; give one with at least one line of text"),
        (
            ["the cat", "a dog"],
            ["--engine", "torch", "--precision", "int8"],
            "--precision int8 is computed by OpenVINO",
        ),
        (["the cat", "a dog"], ["--dimensions", "99"], "dimensions is 99, and vectors have 32; give 32 or less"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    texts: list[str], words: list[str], message: str, model_folder: Folder, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = write(tmp_path / "t.txt", texts)
    model = model_folder("embed")
    capfd.readouterr()
    code = run(["similar", "--input", str(source), "--model", str(model), *(words or EXACT)])
    captured = capfd.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith(f"bertsmith: error: {message.format(source=source)}")
    assert captured.err.count("\n") == 1
