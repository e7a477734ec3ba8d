"""index: additions, deletions and replacements against a dictionary, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bertsmith.cli.app import run
from bertsmith.engine.embedder import Embedder
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.index import IndexSettings, index
from bertsmith.tasks.retrieval import unit

from .conftest import contents, random_lines, refused
from .indexes import Place, changed_model, named_files

Capture = pytest.CaptureFixture[str]


# Changes


def test_nothing_is_lost_by_any_changes(place: Place, capfd: Capture) -> None:
    texts = random_lines(40)
    held = {str(row): text for row, text in enumerate(texts[:20])}
    place.change(held)
    assert "20 texts added; 20 texts in " in capfd.readouterr().err
    for turn in range(4):
        new = {str(row): text for row, text in zip(range(turn * 9, turn * 9 + 12), texts[turn * 7 :], strict=False)}
        place.change(new, "--add")
        replaced = len(set(held) & set(new))
        told = f"12 texts added, {replaced} texts replaced; " if replaced != 1 else "12 texts added, 1 text replaced; "
        assert told in capfd.readouterr().err
        held |= new
        gone = sorted(held)[turn::5][:3]
        assert run(place.delete(*gone)) == 0
        assert f"3 texts deleted; {len(held) - 3} texts in " in capfd.readouterr().err
        held = {one: text for one, text in held.items() if one not in gone}
        assert place.held() == held
    assert {path.name for path in place.index.iterdir()} == named_files(place.index)


def test_a_text_without_an_id_takes_no_other_texts_place(place: Place) -> None:
    """Its number is its row's unless a text has that as its id."""
    held = {"1": "a cat", "2": "a dog", "4": "a film"}
    place.change({int(one): text for one, text in held.items()})
    place.change('{"text": "a mat"}\n{"text": "a park"}\n{"text": "a day"}\n', "--add")
    assert place.held() == {**held, "3": "a mat", "5": "a park", "6": "a day"}


def test_lines_have_their_numbers_as_ids(place: Place) -> None:
    (place.folder / "t.txt").write_text("a cat\n\na dog")
    assert (
        run(["index", "--model", str(place.model), "--input", f"{place.folder}/t.txt", "--out", str(place.index)]) == 0
    )
    assert place.held() == {"0": "a cat", "1": "", "2": "a dog"}


def test_lone_surrogates_in_ids_and_texts_become_question_marks(place: Place) -> None:
    place.change('{"id": "\\ud800x", "text": "the \\ud800 cat"}\n')
    assert place.held() == {"?x": "the ? cat"}


def test_deleting_and_adding_at_once(place: Place) -> None:
    place.change({"a": "a cat", "b": "a dog"})
    place.change({"c": "a mat"}, "--add", "--delete", "a")
    assert place.held() == {"b": "a dog", "c": "a mat"}


def test_an_index_is_replaced_when_that_is_asked_for(place: Place, capfd: Capture) -> None:
    place.change({"a": "a cat"})
    told = refused(place.words({"z": "a mat"}), capfd)
    assert told == f"{place.index}: holds an index; give --add to add to it, or --overwrite to replace it"
    assert place.held() == {"a": "a cat"}
    place.change({"z": "a mat"}, "--overwrite")
    assert place.held() == {"z": "a mat"}
    assert {path.name for path in place.index.iterdir()} == named_files(place.index)


# What is refused leaves everything as it was


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "texts.jsonl: the file is empty"),
        ('{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n', "the id '1' comes twice, in the texts 1 and 2"),
        ('{"id": 1, "text": "a"}\n{"id": 2, "text": null}\n', "texts.jsonl, line 2: no text in 'text'"),
        (b'{"id": 1, "text": "a"}\n\xff', "texts.jsonl, line 2: byte 0xff"),
    ],
)
def test_a_file_that_cannot_be_read(content: str | bytes, message: str, place: Place, capfd: Capture) -> None:
    assert message in refused(place.words(content), capfd)
    assert not place.index.parent.exists()
    place.change({"1": "a cat", "b": "a dog"})
    before = contents(place.index)
    for more in ("--add", "--overwrite"):
        assert message in refused(place.words(content, more), capfd)
        assert contents(place.index) == before


def test_vectors_of_another_model(place: Place, tmp_path: Path, capfd: Capture) -> None:
    """What counts is what vectors come out, not where a model lies."""
    made_with = place.model
    place.change({"a": "a cat"})
    place.model = shutil.copytree(made_with, tmp_path / "copy")
    place.change({"b": "a dog"}, "--add")
    before = contents(place.index)
    for model, more in (
        (changed_model(made_with, tmp_path / "other"), []),
        (made_with, ["--pooling", "cls"]),
        (made_with, ["--max-length", "9"]),
    ):
        place.model = model
        told = refused(place.words({"c": "a mat"}, "--add", *more), capfd)
        assert told.startswith(f"{place.index}: made with another model, or another pooling, cut or prompt, than ")
        assert f" than {model} (it was {made_with}, 32 numbers a vector)" in told
        assert contents(place.index) == before


def test_the_model_of_the_index_is_taken_to_add(place: Place) -> None:
    """With the pooling it was made with, and neither is named again."""
    place.change({"a": "a cat"}, "--pooling", "max")
    path = place.folder / "more.txt"
    path.write_text("a dog\n")
    added = index(IndexSettings(str(place.index), str(path), add=True, how=EmbedderOptions(precision="fp32")))
    expected = Embedder.open(place.model, pooling="max", precision="fp32").embed(["a dog"])
    assert added.search(unit(expected), 1)[0][0].score == pytest.approx(1, abs=1e-6)


def test_what_is_not_there_cannot_be_changed(place: Place, capfd: Capture) -> None:
    for words in (place.words({"a": "a cat"}, "--add"), place.delete("a")):
        assert refused(words, capfd).startswith(f"{place.index}: holds no index to change; make one first")
    assert not place.index.parent.exists()
    place.change({"a": "a cat"})
    before = contents(place.index)
    for words in (place.delete("a", "z"), place.words({"b": "a dog"}, "--add", "--delete", "z")):
        assert refused(words, capfd) == f"{place.index}: no text has the id 'z'; nothing was deleted"
        assert contents(place.index) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "nothing to do; give --input FILE, or --delete ID"),
        ("--input f --add --overwrite", "--add and --overwrite contradict each other"),
        ("--input f --delete a --overwrite", "--delete and --overwrite contradict each other"),
    ],
)
def test_options_that_contradict_each_other(words: str, message: str, tmp_path: Path, capfd: Capture) -> None:
    assert message in refused(["index", "--out", str(tmp_path / "x"), *words.split()], capfd)
    assert list(tmp_path.iterdir()) == []
