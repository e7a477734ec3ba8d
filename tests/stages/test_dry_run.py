"""--dry-run: the plan it tells, against a slow count, and that it leaves nothing."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bertsmith.cli.app import run
from bertsmith.settings import from_flat
from bertsmith.stages import dry_run as stage
from bertsmith.stages.dry_run import LargestFirst, padding_avoided
from bertsmith.stages.finetune import finetune
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.outcome import Outcome, write_outcome
from bertsmith.stages.prepared import Prepared, prepare
from bertsmith.stages.run_folder import RunFolder
from bertsmith.tables import Table
from bertsmith.training import BatchPlan

ROWS = [("a " * (place % 7 + 1) + "day", "up" if place % 3 else "down") for place in range(20)]
LONG = ("cat " * 90, "up")


@pytest.fixture
def words(tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A dry run in 5 steps an epoch; temporary files lie in ``tmp``."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name, rows in (("train", [*ROWS[:-1], LONG]), ("dev", ROWS[:6])):
        lines = "".join(f"{text}\t{label}\n" for text, label in rows)
        (tmp_path / f"{name}.tsv").write_text(f"text\tlabel\n{lines}")
    files = {"train": tmp_path / "train.tsv", "eval": tmp_path / "dev.tsv", "model": model_folder("classify")}
    flags = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    return ["finetune", *flags, "--out", str(tmp_path / "runs" / "x"), "--batch-size", "4", "--dry-run"]


def files_in(place: Path) -> list[Path]:
    """All files and folders, but the one that torch makes in the place for temporary files as its optimizers load."""
    return sorted(path for path in place.rglob("*") if not path.name.startswith("torchinductor_"))


def plan_of(told: str) -> dict[str, str]:
    """The rows of the plan: what stands before and after a gap of two spaces."""
    found = (re.fullmatch(r"\s*(\S.*?)\s{2,}(\S.*?)\s*", line) for line in told.splitlines())
    return {match[1]: match[2] for match in found if match}


def test_the_plan_is_told_and_nothing_is_left(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_in(tmp_path)
    assert run([*words, "--epochs", "3"]) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    plan = plan_of(captured.err)
    assert plan["steps"] == "15 (3 epochs)"
    assert plan["rows in a step"] == "4"
    tokens = sum(len(text.split()) + 2 for text, _ in ROWS[:-1]) + 64  # the long one is cut to what the encoder reads
    assert plan["tokens in an epoch"] == str(tokens)
    assert plan["examples cut"] == "1"
    assert re.fullmatch(r"\d+% of the tokens that padded batches would compute", plan["padding avoided"])
    assert re.fullmatch(r"about \d+\.\d GiB", plan["memory"])
    assert re.fullmatch(r"[\d,]+ ms", plan["one step"])
    assert plan["training"].startswith("about ")
    assert re.fullmatch("4, about .* each", plan["evaluations"])  # one an epoch, and one for the report
    assert re.fullmatch("0, about .* each", plan["saves"])  # too short a run to be saved on its way
    assert plan["in all"].startswith("about ")
    assert captured.err.splitlines()[-1] == "dry run: everything works; nothing was kept"
    assert files_in(tmp_path) == before


def test_a_plan_by_the_clock(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--minutes", "2"]) == 0
    plan = plan_of(capfd.readouterr().err)
    assert re.fullmatch(r"about [\d,]+ \([\d.e+]+ epochs\)", plan["steps"])
    assert plan["training"] in ("about 2:00", "about 2:01")


@pytest.mark.parametrize(
    ("stops", "steps"),
    [
        (["--tokens", "384"], "about 10 (2 epochs)"),  # two epochs of 192
        (["--tokens", "384", "--steps", "7"], "about 7 (1.4 epochs)"),
        (["--epochs", "2", "--minutes", "1000"], "about 10 (2 epochs)"),
    ],
)
def test_the_plan_is_that_of_the_first_stop(
    stops: list[str], steps: str, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, *stops]) == 0
    plan = plan_of(capfd.readouterr().err)
    assert plan["tokens in an epoch"] == "192"
    assert plan["steps"] == steps
    assert plan["training"].startswith("about ")


def test_padding_avoided_is_what_padded_batches_would_hold(words: list[str], tmp_path: Path) -> None:
    values = {"train": str(tmp_path / "train.tsv"), "out": "x", "model": words[words.index("--model") + 1]}
    settings = from_flat(FinetuneSettings, {**values, "validation": 0, "batch_size": 4})
    encoded = prepare(settings).encoded.train
    plan = BatchPlan(encoded, settings.fit)
    lengths = encoded.sequences.lengths.tolist()
    padded = sum(4 * max(lengths[row] for row in plan.step_rows(step)) for step in range(5))
    assert padding_avoided(plan, encoded) == pytest.approx(1 - sum(lengths) / padded)


@pytest.mark.parametrize("task", ["classify", "tag", "answer"])
def test_all_that_a_run_does_is_done(
    task: str, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores and answers of the evaluation rows, report, card and metrics, as `write_outcome` leaves them."""
    rows: list[dict[str, Any]] = {
        "classify": [{"text": text, "label": label} for text, label in ROWS],
        "tag": [{"words": text.split(), "tags": ["B-PET", *["O"] * text.count(" ")]} for text, _ in ROWS],
        "answer": [{"question": "who sat?", "context": f"the {text} cat", "answer": "cat"} for text, _ in ROWS],
    }[task]
    monkeypatch.setattr(stage, "_EVAL_SEQUENCES", 3)
    left: dict[str, Any] = {}

    def keep(outcome: Outcome, prepared: Prepared, folder: RunFolder) -> None:
        write_outcome(outcome, prepared, folder)
        left.update({path.name: path for path in folder.path.iterdir()} | {"outcome": outcome})
        left["report"] = (folder.path / "report.html").read_text()

    monkeypatch.setattr(stage, "write_outcome", keep)
    values = {"train": Table.from_rows(rows, "train"), "eval": Table.from_rows(rows[:8], "dev"), "task": task}
    values |= {"model": str(model_folder("classify")), "out": str(tmp_path / "x"), "dry_run": True, "batch_size": 4}
    values |= {"max_question": 16, "stride": 4} if task == "answer" else {}
    model = finetune(from_flat(FinetuneSettings, values), console=Console(quiet=True))
    assert {"metrics.json", "report.html", "README.md", "log.jsonl", "model.safetensors", "state"} <= left.keys()
    assert model.task.metric in left["outcome"].scores
    assert 'id="training"' in left["report"]
    assert "bertsmith finetune --train" in re.sub("<[^>]*>", "", left["report"])
    assert list(tmp_path.iterdir()) == []


def test_the_pass_of_most_memory_is_the_first(words: list[str], tmp_path: Path) -> None:
    rows = [{"text": "a day", "label": "ab"[row % 2]} for row in range(40)]
    rows[33]["text"] = "cat " * 40
    values = {"train": Table.from_rows(rows, "train"), "out": "x", "model": words[words.index("--model") + 1]}
    settings = from_flat(FinetuneSettings, {**values, "validation": 0, "batch_size": 4})
    encoded = prepare(settings).encoded.train
    usual, plan = BatchPlan(encoded, settings.fit), LargestFirst(encoded, settings.fit)
    assert 33 in plan.step_rows(0)
    assert 33 not in usual.step_rows(0)
    assert [plan.step_rows(step).tolist() for step in range(1, 10)] == [
        usual.step_rows(step).tolist() for step in range(1, 10)
    ]


def test_an_earlier_run_is_left_as_it_is(words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs" / "x"
    out.mkdir(parents=True)
    (out / "metrics.json").write_text(json.dumps({"steps": 1}))
    assert run([*words, "--steps", "2"]) == 2
    assert "holds a run already" in capfd.readouterr().err
    assert run([*words, "--steps", "2", "--overwrite"]) == 0
    assert [path.name for path in out.iterdir()] == ["metrics.json"]


def test_what_is_wrong_is_told_before_a_step_is_taken(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--metric", "f7"]) == 2
    captured = capfd.readouterr()
    assert captured.err.startswith("bertsmith: error: --metric 'f7' is no score")
    assert captured.err.count("\n") == 1
