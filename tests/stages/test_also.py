"""finetune --also: several files at once, each with a loss of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.cli.app import run

ALIKE = [("a cat", "a kitten"), ("rain", "drizzle"), ("he ran", "he hurried"), ("a car", "an automobile")]
SCORED = [("a cat", "a dog", 2.5), ("a cat", "a cat", 5.0), ("rain", "a car", 0.0), ("he ran", "he slept", 1.2)]
JUDGED = [("a cat", "a kitten", "same"), ("rain", "a car", "other"), ("he ran", "he hurried", "same")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files of pairs: without a label, with scores, with classes, with other classes."""
    tables = {
        "alike": ("anchor\tpositive", ALIKE),
        "scored": ("sentence1\tsentence2\tscore", SCORED),
        "judged": ("sentence1\tsentence2\tlabel", JUDGED),
        "others": ("sentence1\tsentence2\tlabel", [(one, two, label.upper()) for one, two, label in JUDGED]),
    }
    for name, (header, rows) in tables.items():
        lines = ["\t".join(map(str, row)) for row in rows]
        (tmp_path / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


@pytest.fixture
def encoder(model_folder: Callable[[str], Path]) -> Path:
    """A small random model of sentence vectors."""
    return model_folder("embed")


def words(files: Path, model: Path, *more: str) -> list[str]:
    """A short training by in-batch negatives, evaluated by scores."""
    return [
        "finetune", "--task", "embed", "--model", str(model), "--train", str(files / "alike.tsv"),
        "--eval", str(files / "scored.tsv"), "--out", str(files / "run"), "--precision", "fp32", "--batch-size", "2",
        *more,
    ]  # fmt: skip


def test_each_file_has_its_loss_and_its_steps(files: Path, encoder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An epoch has the batches of all: 2 + 2 + 2 + 2 of two rows each."""
    others = [
        f"--also={loss}{files / name}.tsv" for loss, name in (("", "scored"), ("cosine:", "scored"), ("", "judged"))
    ]
    assert run(words(files, encoder, *others, "--epochs", "1")) == 0
    told = capfd.readouterr().err
    for line in (
        "scored.tsv: 4 rows, loss cosent",
        "scored.tsv: 4 rows, loss cosine",
        "judged.tsv: 3 rows, loss softmax",
    ):
        assert line in told
    metrics = json.loads((files / "run" / "metrics.json").read_text())
    assert metrics["steps"] == 8
    assert metrics["examples"] == 4 + 4 + 4 + 3
    assert metrics["epochs"] == 1
    assert "spearman" in metrics["eval"]


def test_a_run_that_went_on_ends_in_the_same_bytes(files: Path, encoder: Path) -> None:
    """Stopped before its last step by a failure of evaluation, and resumed."""
    whole = words(files, encoder, f"--also={files / 'scored'}.tsv", "--steps", "6", "--save-every", "2")
    assert run(whole) == 0
    expected = (files / "run" / "model.safetensors").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertsmith.stages.trained.evaluator", lambda *_: stop)
        assert run([*whole, "--overwrite"]) == 130
    assert run([*whole, "--resume"]) == 0
    assert (files / "run" / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--also", "judged.tsv", "--also", "others.tsv"], "one model learns one set of classes"),
        (["--also", "nowhere.tsv"], "nowhere.tsv: no such file"),
        (["--also", "triplet:scored.tsv"], "loss triplet needs an anchor, a positive and a negative"),
        (["--also", "scored.tsv", "--refit"], "--refit knows one file to train on"),
        (["--also", "scored.tsv", "--dry-run"], "--dry-run knows one file to train on"),
        (["--also", "scored.tsv", "--task", "classify"], "--also: the task 'classify' trains on one file"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    more: list[str],
    message: str,
    files: Path,
    encoder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    given = words(files, encoder, *more)
    if "classify" in more:
        given.remove("--task")
        given.remove("embed")
    assert run(given) == 2
    told = capfd.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (files / "run").exists()
