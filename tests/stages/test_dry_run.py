"""--dry-run: the plan it tells, against a slow count, and that it leaves nothing."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.cli.app import run
from bertsmith.settings import from_flat
from bertsmith.stages.dry_run import padding_avoided
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.prepared import prepare
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
    assert plan["sequences cut"] == "1 of 20"
    assert re.fullmatch(r"\d+% of the tokens that padded batches would compute", plan["padding avoided"])
    assert re.fullmatch(r"\d+\.\d GiB at most so far", plan["memory"])
    assert re.fullmatch(r"[\d,]+ ms", plan["one step"])
    for name in ("training", "each evaluation", "each save"):
        assert plan[name].startswith("about "), name
    assert captured.err.splitlines()[-1] == "dry run: everything works; nothing was kept"
    assert files_in(tmp_path) == before


def test_a_plan_by_the_clock(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--minutes", "2"]) == 0
    plan = plan_of(capfd.readouterr().err)
    assert plan["steps"] == "until the time is over"
    assert re.fullmatch(r"2 minutes, about [\d,]+ steps", plan["training"])


def test_padding_avoided_is_what_padded_batches_would_hold(words: list[str], tmp_path: Path) -> None:
    values = {"train": str(tmp_path / "train.tsv"), "out": "x", "model": words[words.index("--model") + 1]}
    settings = from_flat(FinetuneSettings, {**values, "validation": 0, "batch_size": 4})
    encoded = prepare(settings).encoded.train
    plan = BatchPlan(encoded, settings.fit)
    lengths = encoded.sequences.lengths.tolist()
    padded = sum(4 * max(lengths[row] for row in plan.step_rows(step)) for step in range(5))
    assert padding_avoided(plan, encoded) == pytest.approx(1 - sum(lengths) / padded)


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
