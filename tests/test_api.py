"""bertsmith in Python: the same as the command line, with rows and paths alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertsmith
from bertsmith.cli.app import run
from bertsmith.errors import SettingsError

ROWS = [
    {"words": text, "mood": mood}
    for mood, texts in {
        "good": ["a lovely film", "what a joy", "simply wonderful", "great fun", "I loved it", "superb"],
        "bad": ["a dull film", "what a bore", "simply awful", "a waste of time", "I hated it", "terrible"],
    }.items()
    for text in texts
]
OPTIONS = {"model": "starter", "text": "words", "label": "mood", "steps": 3, "batch_size": 4, "precision": "fp32"}


@pytest.fixture(scope="module")
def trained(starter_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bertsmith.TaskModel, Path]:
    out = tmp_path_factory.mktemp("runs") / "rows"
    return bertsmith.finetune(train=ROWS, eval=ROWS, out=out, task="classify", **OPTIONS), out


def test_raw_text_becomes_a_model_that_guesses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sentences = ["The cat sat on the mat.", "A dog ran over the hill.", "The bird sang in the old tree all day."]
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(
            "\n".join(sentences[number % 3 :] + sentences) + f"\nIt is day {number}.\n"
        )
    files = [tmp_path / f"{number}.txt" for number in range(12)]
    tokenizer = bertsmith.vocab(files, tmp_path / "vocab", size=150, unused=0, quiet=True)
    corpus = bertsmith.prepare(files, tmp_path / "vocab", tmp_path / "corpus", held_out=0.2, quiet=True)
    assert corpus.vocab_size == tokenizer.vocab_size
    phases = [{"max_length": 16, "max_steps": 2}, {"max_length": 24, "steps": 1}]
    options = {"preset": "L2-H128", "batch_size": 4, "precision": "fp32"}
    model = bertsmith.pretrain(tmp_path / "corpus", tmp_path / "run", phases=phases, quiet=True, **options)
    assert model is not None
    assert len(model.fill("the [MASK] sat", top=3)[0]) == 3
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 3
    assert capfd.readouterr() == ("", "")
    with pytest.raises(SettingsError, match="there is no option 'presett'; did you mean 'preset'"):
        bertsmith.pretrain("corpus", "run", presett="base")


def test_a_model_answers_the_same_before_and_after_its_folder(
    trained: tuple[bertsmith.TaskModel, Path], tmp_path: Path
) -> None:
    model, out = trained
    texts = [row["words"] for row in ROWS]
    answers = model.predict(texts)
    assert {tuple(answer["probabilities"]) for answer in answers} == {("bad", "good")}
    assert bertsmith.load(out).predict(texts) == answers
    model.save(tmp_path / "copy")
    assert bertsmith.load(str(tmp_path / "copy"), device="cpu").predict(texts) == answers


def test_scores_are_those_of_the_run(trained: tuple[bertsmith.TaskModel, Path], tmp_path: Path) -> None:
    model, out = trained
    path = tmp_path / "rows.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{row['words']}\t{row['mood']}\n" for row in ROWS))
    recorded = json.loads((out / "metrics.json").read_text())["eval"]
    assert model.evaluate(path) == pytest.approx(recorded, abs=1e-5)


def test_a_file_and_its_rows_give_the_same_model(trained: tuple[bertsmith.TaskModel, Path], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    from_file = bertsmith.finetune(path, tmp_path / "run", eval=bertsmith.Table.from_rows(ROWS), **OPTIONS)
    assert from_file.predict("a lovely film") == trained[0].predict("a lovely film")


def test_columns_may_be_a_list(tmp_path: Path, starter_folder: Path) -> None:
    path = tmp_path / "raw.tsv"
    path.write_text("".join(f"x\t{row['mood']}\t{row['words']}\n" for row in ROWS))
    model = bertsmith.finetune(
        path, tmp_path / "run", columns=["_", "label", "text"], model="starter", steps=1, validation=0
    )
    assert model.task.label_names == ("bad", "good")


def test_values_are_told_as_the_command_line_has_them(starter_folder: Path, tmp_path: Path) -> None:
    """Whatever Python gives them as: the run's own record is JSON, and its command is to be typed."""
    polars = pytest.importorskip("polars")
    model = bertsmith.finetune(
        polars.DataFrame(ROWS),
        tmp_path / "run",
        model=starter_folder,
        text="words",
        label="mood",
        steps=np.int64(1),
        lr=np.float32(0.5),
        batch_size=4.0,
        seed=np.int64(3),
        keep_best=np.bool_(True),
        class_weights={"good": 2, "bad": np.float64(0.5)},
    )
    assert model.task.settings()["class_weights"] == {"good": 2.0, "bad": 0.5}
    settings = json.loads((tmp_path / "run" / "metrics.json").read_text())["settings"]
    told = {name: settings[name] for name in ("model", "steps", "lr", "batch_size", "seed", "keep_best")}
    assert told == {
        "model": str(starter_folder),
        "steps": 1,
        "lr": 0.5,
        "batch_size": 4,
        "seed": 3,
        "keep_best": True,
    }
    card = (tmp_path / "run" / "README.md").read_text()
    assert "--seed 3 --lr 0.5" in card
    assert "--class-weights good=2,bad=0.5" in card


def test_quiet_is_silent(starter_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bertsmith.finetune(ROWS, tmp_path / "run", quiet=True, **OPTIONS)
    assert capfd.readouterr() == ("", "")


def test_inspect_tells_what_a_model_is(
    trained: tuple[bertsmith.TaskModel, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    facts = bertsmith.inspect(trained[1])
    assert facts.about["task"] == "classify"
    assert facts.num_weights == trained[0].num_parameters
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lr": "1e-4"}, "lr is '1e-4'; give a number"), ({"class_weights": {"good": "much"}}, "'good=much': write")],
)
def test_a_value_of_a_wrong_type_is_named_before_anything_is_done(
    options: dict[str, Any], message: str, starter_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        bertsmith.finetune(ROWS, tmp_path / "run", **{**OPTIONS, **options})
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no option 'epoch'; did you mean 'epochs'\?"):
        bertsmith.finetune(ROWS, tmp_path / "run", epoch=3)
    assert not (tmp_path / "run").exists()


def test_names_are_offered_and_imported_late() -> None:
    assert set(bertsmith.__all__) <= set(dir(bertsmith))
    assert all(getattr(bertsmith, name) is not None for name in bertsmith.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fine_tune'"):
        _ = bertsmith.fine_tune
    code = "import bertsmith, sys; print([name for name in ('torch', 'numpy', 'polars') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_vectors_are_those_of_the_command_line(tmp_path: Path, starter_folder: Path) -> None:
    texts = ["a lovely film", "", "what a bore, 2 hours of it"]
    (tmp_path / "lines.txt").write_text("".join(text + "\n" for text in texts))
    words = ["--input", str(tmp_path / "lines.txt"), "--out", str(tmp_path / "v.npy"), "--precision", "fp32"]
    assert run(["embed", "--model", str(starter_folder), *words]) == 0
    vectors = bertsmith.embed(texts, starter_folder, precision="fp32")
    np.testing.assert_array_equal(vectors, np.load(tmp_path / "v.npy"))
    with pytest.raises(bertsmith.BertsmithError, match="put a single one in a list"):
        bertsmith.embed("a lovely film", starter_folder)


def test_an_index_of_texts_rows_or_a_file_is_searched(
    tmp_path: Path, starter_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same hits from a list of texts and from rows with ids, added to and deleted from."""
    texts = ["The cat sleeps on the sofa.", "Interest rates rose again.", "A goal in the last minute."]
    made = bertsmith.index(texts, tmp_path / "idx", model=str(starter_folder), precision="fp32", quiet=True)
    assert len(made) == 3
    [hits] = bertsmith.search(tmp_path / "idx", "a kitten takes a nap", top=2, precision="fp32")
    assert hits[0].text == texts[0]
    assert len(hits) == 2
    rows = [{"id": "football", "text": "They won the cup."}]
    bertsmith.index(rows, tmp_path / "idx", model=str(starter_folder), precision="fp32", add=True, quiet=True)
    searcher = bertsmith.Searcher.open(tmp_path / "idx", precision="fp32")
    assert searcher.search(["who won the cup?", "money"], number=1)[0][0].id == "football"
    left = bertsmith.index(None, tmp_path / "idx", delete=["football"], quiet=True)
    assert len(left) == 3
    assert capfd.readouterr().out == ""


def test_similar_pairs_and_clusters_of_texts(starter_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["a dog runs", "the stock market fell", "a dog is running", "shares lost value on the market"]
    options = {"model": str(starter_folder), "precision": "fp32", "quiet": True}
    pairs = bertsmith.similar(texts, top=2, **options)
    assert [{pair.first, pair.second} for pair in pairs] == [{0, 2}, {1, 3}]
    labels = bertsmith.cluster(texts, method="kmeans", number=2, **options)
    assert labels[0] == labels[2] != labels[1] == labels[3]
    assert capfd.readouterr() == ("", "")
