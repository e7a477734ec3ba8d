"""embed: vectors against sentence-transformers, files as they come, and what is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from bertsmith.cli.app import run
from bertsmith.engine import embedder as engine
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import SettingsError
from bertsmith.stages.embed import EmbedSettings, embed
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.text import Tokenizer

from .conftest import contents, random_lines, refused

Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
TEXTS = ["the cat sat", "", "the dog ran in the park", "  ", "a film"]


@pytest.fixture
def model(model_folder: Folder) -> Path:
    return model_folder("embed")


class Place:
    """Embeds files of a folder of its own."""

    def __init__(self, folder: Path, model: Path, capfd: Capture) -> None:
        self.folder, self.model, self.capfd = folder, model, capfd

    def words(self, content: str | bytes, name: str = "t.txt", out: str = "v.npy") -> list[str]:
        source = self.folder / name
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        given = {"model": self.model, "input": source, "out": self.folder / out, "precision": "fp32"}
        return ["embed", *(word for option, value in given.items() for word in (f"--{option}", str(value)))]

    def vectors(self, content: str | bytes, *more: str, name: str = "t.txt") -> tuple[NDArray[np.float32], list[str]]:
        """The vectors of a file of this content, and the lines on standard error before the last one."""
        self.capfd.readouterr()
        assert run([*self.words(content, name), *more]) == 0
        return np.load(self.folder / "v.npy"), self.capfd.readouterr().err.splitlines()[:-1]


@pytest.fixture
def place(model: Path, tmp_path: Path, capfd: Capture) -> Place:
    return Place(tmp_path, model, capfd)


def alone(model: Path, texts: list[str], **options: Any) -> NDArray[np.float32]:
    """The vectors of texts that are computed one by one."""
    opened = Embedder.open(model, precision="fp32", engine="torch", **options)
    return np.concatenate([opened.embed([text]) for text in texts])


# Vectors


def test_vectors_are_those_of_sentence_transformers(place: Place) -> None:
    peer = pytest.importorskip("sentence_transformers")
    texts = [*TEXTS, "the dog sat in the park . " * 30, *random_lines(40)]
    found, told = place.vectors("\n".join(texts) + "\n")
    expected = peer.SentenceTransformer(str(place.model), device="cpu").encode(texts)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert told == ["note: 2 lines without text, kept as a row", "note: 1 text cut to 64 tokens"]


def test_vectors_of_the_starter_are_those_of_sentence_transformers(starter_folder: Path, tmp_path: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    texts = ("A man is playing a guitar.", "no", "The cat sat on the mat. " * 60, "Über größere Züge", "")
    settings = EmbedSettings(text=texts, out=str(tmp_path / "v.npy"), how=EmbedderOptions(precision="fp32"))
    embed(settings, console=Console(quiet=True))
    expected = peer.SentenceTransformer(str(starter_folder), device="cpu").encode(list(texts))
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected, atol=2e-6)


def test_the_order_is_that_of_the_texts_in_chunks_of_any_size(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_lines(50)
    expected = alone(place.model, texts)
    assert len(np.unique(expected.round(4), axis=0)) == 50
    for chunk in (7, 49, 1000):
        monkeypatch.setattr(engine, "CHUNK_TEXTS", chunk)
        np.testing.assert_allclose(place.vectors("\n".join(texts))[0], expected, atol=2e-6)


@pytest.mark.parametrize(
    "options", [{"pooling": "cls"}, {"dimensions": 5}, {"max_length": 6}], ids=lambda options: next(iter(options))
)
def test_other_vectors_than_the_models_own(options: dict[str, Any], place: Place) -> None:
    ((name, value),) = options.items()
    texts = random_lines(9)
    found, _ = place.vectors("\n".join(texts), f"--{name.replace('_', '-')}", str(value))
    np.testing.assert_allclose(found, alone(place.model, texts, **options), atol=2e-6)
    assert found.shape != (9, 32) or np.abs(found - alone(place.model, texts)).max() > 0.01


def test_the_first_texts_are_no_more_than_a_chunk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by characters, too, where lines are long."""
    seen: list[int] = []
    monkeypatch.setattr(engine, "CHUNK_CHARACTERS", 30)
    monkeypatch.setattr(Embedder, "prepare", lambda self, texts: seen.append(len(texts)))
    found, _ = place.vectors("a cat sat\n" * 20)
    assert (seen, len(found)) == ([4], 20)


# What is told


def test_json_tells_what_was_computed(place: Place) -> None:
    texts = random_lines(20)
    place.capfd.readouterr()
    assert run([*place.words("\n".join(texts)), "--json", "--engine", "torch"]) == 0
    told = json.loads(place.capfd.readouterr().out)
    tokens = sum(len(Tokenizer.from_folder(place.model).encode([text]).ids) for text in texts)
    assert told.pop("seconds") > 0
    expected = {"sentences": 20, "tokens": tokens, "dimensions": 32, "engine": "torch", "precision": "fp32"}
    assert told == expected


def test_without_out_vectors_are_lines_on_standard_output(place: Place) -> None:
    found, _ = place.vectors("\n".join(TEXTS))
    source = str(place.folder / "t.txt")
    assert run(["embed", "--model", str(place.model), "--input", source, "--precision", "fp32"]) == 0
    told = place.capfd.readouterr()
    assert told.err == "note: 2 lines without text, kept as a row\n"
    lines = [json.loads(line) for line in told.out.splitlines()]
    np.testing.assert_allclose(lines, found, atol=1e-7)


# Files as they come


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(TEXTS).encode(),
        "\r\n".join([*TEXTS, ""]).encode(),
        b"\xef\xbb\xbf" + "\n".join(TEXTS).encode(),
        "\n".join(TEXTS).encode("utf-16"),
    ],
    ids=["no final newline", "windows", "byte-order mark", "utf-16"],
)
def test_how_lines_are_written_changes_nothing(content: bytes, place: Place) -> None:
    found, told = place.vectors(content)
    np.testing.assert_allclose(found, alone(place.model, TEXTS), atol=2e-6)
    assert told == ["note: 2 lines without text, kept as a row"]


def test_only_blank_lines_are_rows_all_the_same(place: Place) -> None:
    found, told = place.vectors("\n \n\n")
    np.testing.assert_allclose(found, alone(place.model, [""] * 3), atol=1e-6)
    assert told == ["note: 3 lines without text, kept as a row"]


def test_a_line_of_a_megabyte_is_read_as_far_as_it_matters(place: Place) -> None:
    found, told = place.vectors("a cat\n" + "the dog sat " * 100_000 + "\nbad")
    np.testing.assert_allclose(found, alone(place.model, ["a cat", "the dog sat " * 100, "bad"]), atol=2e-6)
    assert told == ["note: 1 line of which only the beginning is read", "note: 1 text cut to 64 tokens"]


def test_lone_surrogates_count_as_nothing(place: Place) -> None:
    found, _ = place.vectors('{"text": "the \\ud800 cat"}\n\n{"text": "a dog"}\n', name="t.jsonl")
    np.testing.assert_allclose(found, alone(place.model, ["the cat", "a dog"]), atol=2e-6)
    assert run(["embed", "--model", str(place.model), "--precision", "fp32", "--text", "the \udcff cat"]) == 0
    np.testing.assert_allclose(json.loads(place.capfd.readouterr().out), found[0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "more"),
    [
        ("t.csv", "n,review\n1,the cat sat\n2,a film\n", ["--text", "review"]),
        ("t.tsv", "1\tthe cat sat\n2\ta film\n", ["--columns", "n,review", "--text", "review"]),
        ("t.jsonl", '{"id": 1, "text": "the cat sat"}\n{"id": 2, "text": "a film"}\n', []),
    ],
)
def test_texts_of_a_table(name: str, content: str, more: list[str], place: Place) -> None:
    found, told = place.vectors(content, *more, name=name)
    np.testing.assert_allclose(found, alone(place.model, ["the cat sat", "a film"]), atol=2e-6)
    assert told == []


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", "", "t.txt: the file is empty; give one with at least one line of text"),
        ("t.txt", "a\nb\0c\n", "t.txt: a binary file, not text; "),
        ("t.txt", ("cat " * 3000 + "\n") * 30 + "b\0c\n", "t.txt, line 31: NUL character; "),
        ("t.txt", b"the cat\nb\xff\n", "t.txt, line 2: byte 0xff at offset 9 is not UTF-8; "),
        ("t.jsonl", "\n\n", "t.jsonl: the file is empty; give one with at least one JSON object"),
        ("t.jsonl", '{"text": "a"}\n{"text": null}\n', "t.jsonl, line 2: no text in 'text'; give a text"),
        ("t.jsonl", '{"text": "a"}\n{"text": 3}\n', "t.jsonl, line 2: a int in 'text'; give a text"),
        ("t.csv", "a,b\nx,y\n", "t.csv: no text column: looked for "),
    ],
)
def test_a_file_that_cannot_be_read_leaves_the_earlier_vectors(
    name: str, content: str | bytes, message: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is told at once or when some texts have been computed."""
    monkeypatch.setattr(engine, "CHUNK_TEXTS", 1)
    np.save(place.folder / "v.npy", np.ones(3))
    words = place.words(content, name)
    before = contents(place.folder)
    assert refused(words, place.capfd).startswith(f"{place.folder}/{message}")
    assert contents(place.folder) == before


def test_an_out_whose_folder_is_not_there_is_made(place: Place) -> None:
    assert run(place.words("a cat", out="new/deep/v.npy")) == 0
    assert np.load(place.folder / "new/deep/v.npy").shape == (1, 32)
    assert [path.name for path in (place.folder / "new/deep").iterdir()] == ["v.npy"]


def test_an_out_that_cannot_be_is_told_before_the_model_is_opened(place: Place) -> None:
    (place.folder / "x.npy").mkdir()
    place.model = place.folder / "nowhere"
    assert f"{place.folder}/x.npy: is a folder" in refused(place.words("a", out="x.npy"), place.capfd)
    assert "t.txt/v.npy: cannot be written" in refused(place.words("a", out="t.txt/v.npy"), place.capfd)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no texts; give --input FILE, or --text"),
        ({"input": "f", "text": ("a", "b")}, "--text names the column of the texts; give it once"),
        ({"text": ("a",), "out": "v.bin"}, "--out v.bin: vectors are written as .npy"),
        ({"text": ("a",), "json": True}, "--json tells of vectors that are written; name their file with --out"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EmbedSettings(**options)
