"""evaluate, against transformers' answers scored by scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, matthews_corrcoef

from bertsmith.errors import DataError, SettingsError
from bertsmith.stages.evaluate import EvaluateSettings, evaluate
from bertsmith.stages.options import ColumnOptions

from .conftest import with_tensors

Folder = Callable[[str], Path]
LABELS = ["bad", "good", "so-so"]
ROWS = [(f"the {one} {two} sat in the {three}", LABELS[(a + 2 * b + c) % 3])
        for a, one in enumerate(["good", "bad", "sad"])
        for b, two in enumerate(["cat", "dog", "film"])
        for c, three in enumerate(["park", "mat", "day"])]  # fmt: skip


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "test.tsv"
    path.write_text(
        "id\tsentence\tlabel\n" + "".join(f"{n}\t{text}\t{label}\n" for n, (text, label) in enumerate(ROWS))
    )
    return path


def test_json_is_one_object_of_the_right_scores(
    model_folder: Folder, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = model_folder("classify")
    returned = evaluate(EvaluateSettings(str(folder), str(labelled), json=True))
    out = capsys.readouterr().out
    scores = json.loads(out)
    assert out.count("\n") == 1
    assert scores == pytest.approx(returned)

    peer = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)([text for text, _ in ROWS], return_tensors="pt", padding=True)
    gold = torch.tensor([peer.config.label2id[label] for _, label in ROWS])
    with torch.inference_mode():
        result = peer(**tokens, labels=gold)
    found = result.logits.argmax(-1)
    assert scores["accuracy"] == pytest.approx(accuracy_score(gold, found))
    assert scores["mcc"] == pytest.approx(matthews_corrcoef(gold, found))
    assert scores["loss"] == pytest.approx(float(result.loss), abs=1e-5)


def test_without_json_a_table_is_printed(
    model_folder: Folder, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = evaluate(EvaluateSettings(str(model_folder("classify")), str(labelled)))
    out = capsys.readouterr().out
    assert "MCC" in out
    assert f"{scores['accuracy']:.3f}" in out


def test_predictions_are_those_that_were_scored(
    model_folder: Folder, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers_file = tmp_path / "answers.jsonl"
    scores = evaluate(EvaluateSettings(str(model_folder("classify")), str(labelled), str(answers_file), json=True))
    answers = [json.loads(line) for line in answers_file.read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [str(place) for place in range(len(ROWS))]
    right = [answer["label"] == label for answer, (_, label) in zip(answers, ROWS, strict=True)]
    assert scores["accuracy"] == pytest.approx(sum(right) / len(right))
    assert json.loads(capsys.readouterr().out) == pytest.approx(scores)


def test_columns_can_be_named(model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "raw.tsv"
    path.write_text("".join(f"x\t{label}\t\t{text}\n" for text, label in ROWS))
    options = ColumnOptions(columns="source,mark,note,words", text="words", label="mark")
    scores = evaluate(EvaluateSettings(str(model_folder("classify")), str(path), json=True, columns=options))
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(scores["accuracy"])


def test_cut_texts_are_told_on_standard_error(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.tsv"
    path.write_text("text\tlabel\n" + "cat " * 100 + "\tgood\na dog\tbad\n")
    evaluate(EvaluateSettings(str(model_folder("classify")), str(path), json=True))
    captured = capsys.readouterr()
    assert captured.err == "note: 1 example cut to 64 tokens\n"
    json.loads(captured.out)


def test_a_shorter_length_is_taken(model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.tsv"
    path.write_text("text\tlabel\nthe cat sat\tgood\na\tbad\n")
    evaluate(EvaluateSettings(str(model_folder("classify")), str(path), json=True, max_length=4))
    assert capsys.readouterr().err == "note: 1 example cut to 4 tokens\n"
    with pytest.raises(SettingsError, match=r"--max-length is 65, and .* has positions for 64 tokens; give 64 or less"):
        evaluate(EvaluateSettings(str(model_folder("classify")), str(path), max_length=65))


def test_weights_that_are_not_used_are_told(
    model_folder: Folder, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_tensors(model_folder("classify"), tmp_path / "x", "bert.adapter.weight")
    evaluate(EvaluateSettings(str(folder), str(labelled), json=True))
    captured = capsys.readouterr()
    assert captured.err == "note: not used from the checkpoint: bert.adapter.weight\n"
    json.loads(captured.out)


def test_a_label_not_seen_in_training_is_named(model_folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "odd.tsv"
    path.write_text("text\tlabel\na cat\tgood\na dog\tsplendid\n")
    with pytest.raises(DataError, match=r"odd\.tsv, line 3.*'splendid'"):
        evaluate(EvaluateSettings(str(model_folder("classify")), str(path)))
