"""predict, against transformers on the same folder, and its contracts on standard output."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.errors import DataError, OutputError, SettingsError
from bertsmith.stages import predict as stage
from bertsmith.stages.predict import PredictSettings, predict

from .conftest import with_tensors

Folder = Callable[[str], Path]
TEXTS = ["the cat sat on the mat", "a sad film", "it was a good day in the park", "bad"]


def rows_of(text: str) -> list[dict[str, Any]]:
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def peer_probabilities(folder: Path, texts: list[str]) -> list[dict[str, float]]:
    """What transformers makes of the same folder and texts."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        rows = model(**tokens).logits.softmax(-1)
    return [{model.config.id2label[place]: float(value) for place, value in enumerate(row)} for row in rows]


def test_texts_are_answered_as_transformers_does(model_folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_folder("classify")
    predict(PredictSettings(str(folder), text=tuple(TEXTS)))
    answers = rows_of(capsys.readouterr().out)
    for answer, expected in zip(answers, peer_probabilities(folder, TEXTS), strict=True):
        assert list(answer) == ["label", "probabilities"]
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert answer["label"] == max(expected, key=lambda label: expected[label])


@pytest.mark.parametrize(
    ("task", "asked", "keys"),
    [
        ("pairs", {"text": ("a cat",), "text_pair": ("a dog",)}, ["label", "probabilities"]),
        ("several", {"text": ("a cat",)}, ["label", "probabilities"]),
        ("regress", {"text": ("a cat",)}, ["score"]),
        ("tag", {"text": ("the cat sat.",)}, ["words", "tags", "spans"]),
        ("choose", {"prompt": "the cat", "ending": ("sat", "ran", "was sad")}, ["choice", "text", "probabilities"]),
        (
            "answer",
            {"question": ("who sat?",), "context": ("the cat sat on the mat",)},
            ["answer", "start", "end", "score", "probability", "nbest"],
        ),
    ],
)  # fmt: skip
def test_each_task_answers_in_its_own_keys(
    model_folder: Folder, capsys: pytest.CaptureFixture[str], task: str, asked: dict[str, Any], keys: list[str]
) -> None:
    predict(PredictSettings(str(model_folder(task)), **asked))
    (answer,) = rows_of(capsys.readouterr().out)
    assert list(answer) == keys
    if task == "choose":
        assert answer["text"] == asked["ending"][answer["choice"]]
        assert math.isclose(sum(answer["probabilities"]), 1, abs_tol=1e-6)
    if task == "answer":
        assert asked["context"][0][answer["start"] : answer["end"]] == answer["answer"]
    if task == "tag":
        assert answer["words"] == ["the", "cat", "sat", "."]
        assert len(answer["tags"]) == 4


def test_one_context_serves_many_questions() -> None:
    settings = PredictSettings("m", question=("who?", "where?"), context=("the cat sat",))
    assert settings.inputs == [("who?", "the cat sat"), ("where?", "the cat sat")]


def test_a_file_of_lines_keeps_blank_ones(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder("classify")
    source = tmp_path / "texts.txt"
    source.write_text(f"{TEXTS[0]}\n\n{TEXTS[1]}\n  \n{TEXTS[2]}\n")
    predict(PredictSettings(str(folder), input=str(source)))
    captured = capsys.readouterr()
    answers = rows_of(captured.out)
    assert len(answers) == 5
    assert captured.err == "note: 2 texts without tokens\n"
    expected = peer_probabilities(folder, TEXTS[:3])
    for place, one in zip([0, 2, 4], expected, strict=True):
        assert answers[place]["probabilities"] == pytest.approx(one, abs=1e-5)


def test_a_table_is_answered_in_order_with_its_ids(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of any size, the answers are the same."""
    folder = model_folder("classify")
    source = tmp_path / "reviews.jsonl"
    rows = [{"id": f"r{place}", "review": TEXTS[place % 4] + " the" * (place % 7)} for place in range(23)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = []
    for chunk in (4, 1000):
        monkeypatch.setattr(stage, "CHUNK", chunk)
        output = tmp_path / "deep" / f"answers-{chunk}.jsonl"
        predict(PredictSettings(str(folder), input=str(source), text=("review",), output=str(output)))
        told.append(rows_of(output.read_text()))
    assert capsys.readouterr().out == ""
    assert [row["id"] for row in told[0]] == [row["id"] for row in rows]
    assert len({row["label"] for row in told[0]}) > 1
    expected = peer_probabilities(folder, [row["review"] for row in rows])
    for few, many, one in zip(*told, expected, strict=True):
        assert few["label"] == many["label"]
        assert few["probabilities"] == pytest.approx(one, abs=1e-5)
        assert many["probabilities"] == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("by_file", [True, False], ids=["input", "text"])
def test_what_is_cut_is_told(
    by_file: bool, model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Once, however many chunks are answered."""
    monkeypatch.setattr(stage, "CHUNK", 2)
    texts = ["the cat sat on the mat", "bad", "a sad film", "it was a good day in the park"]
    source = tmp_path / "texts.txt"
    source.write_text("".join(f"{text}\n" for text in texts))
    asked: dict[str, Any] = {"input": str(source)} if by_file else {"text": tuple(texts)}
    predict(PredictSettings(str(model_folder("classify")), max_length=7, **asked))
    captured = capsys.readouterr()
    assert len(rows_of(captured.out)) == 4
    assert captured.err == "note: 2 examples cut to 7 tokens\n"


def test_weights_that_are_not_used_are_told(
    model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = with_tensors(model_folder("classify"), tmp_path / "x", "bert.adapter.weight")
    predict(PredictSettings(str(strange), text=("bad",)))
    assert capsys.readouterr().err == "note: not used from the checkpoint: bert.adapter.weight\n"
    pretrained = ("cls.predictions.bias", "cls.seq_relationship.bias", "bert.pooler.dense.weight")
    predict(PredictSettings(str(with_tensors(model_folder("tag"), tmp_path / "y", *pretrained)), text=("a cat",)))
    assert capsys.readouterr().err == ""


def test_after_an_error_the_earlier_output_stays(model_folder: Folder, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "fine"}\n{"text": null}\n')
    output.write_text("earlier\n")
    with pytest.raises(DataError, match=r"in\.jsonl, line 2"):
        predict(PredictSettings(str(model_folder("classify")), input=str(source), output=str(output)))
    assert output.read_text() == "earlier\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_an_impossible_output_is_told_before_the_model_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, said in [(tmp_path, "is a folder"), (tmp_path / "file" / "out.jsonl", "cannot be written")]:
        with pytest.raises(OutputError, match=said):
            predict(PredictSettings("no/such/model", input="none.txt", output=str(place)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to answer"),
        ({"text": ("a",), "question": ("b",)}, "give one of"),
        ({"text": ("a",), "prompt": "b"}, "give one of"),
        ({"input": "f", "prompt": "b"}, "--input and --prompt exclude each other"),
        ({"input": "f", "question": ("b",)}, "--input and --question exclude each other"),
        ({"input": "f", "context": ("b",)}, "--input and --context exclude each other"),
        ({"input": "f", "ending": ("b",)}, "--text and --text-pair name its columns"),
        ({"input": "f", "text": ("a", "b")}, "name a column each"),
        ({"text": ("a",), "output": "f"}, "--output is for --input"),
        ({"ending": ("a",)}, "nothing to answer"),
        ({"text": ("a",), "context": ("b",)}, "--context needs a --question"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PredictSettings("m", **options)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(SettingsError, match="2 --text but 1 --text-pair"):
        _ = PredictSettings("m", text=("a", "b"), text_pair=("c",)).inputs
