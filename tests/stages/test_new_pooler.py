"""finetune --new-pooler: for tasks that have a pooler, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.checkpoint import read_weights
from bertsmith.cli.app import run

from .conftest import refused

LABELLED = "text\tlabel\n" + "a good day\tup\na sad day\tdown\n" * 6
SCORED = "text_a\ttext_b\tscore\n" + "a cat\ta dog\t0.5\na cat\ta mat\t0.1\na film\tit\t0.2\n" * 3
TAGGED = "the O\ncat B-PET\n\na O\ndog B-PET\n\n" * 4
ASKED = {"question": "who?", "context": "the cat sat", "answers": {"text": ["cat"], "answer_start": [4]}}
POOLER = "bert.pooler.dense.weight"
Folder = Callable[[str], Path]


@pytest.mark.parametrize(
    ("task", "name", "content"),
    [
        ("tag", "t.conll", TAGGED),
        ("answer", "t.jsonl", (json.dumps(ASKED) + "\n") * 9),
        ("embed", "t.tsv", SCORED),
    ],
)
def test_a_task_without_a_pooler_refuses_it(
    task: str, name: str, content: str, model_folder: Folder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    words = ["finetune", "--task", task, "--train", str(tmp_path / name), "--model", str(model_folder("classify"))]
    told = refused([*words, "--validation", "0", "--out", str(tmp_path / "x"), "--new-pooler"], capfd)
    assert told == f"--new-pooler: the task {task!r} has no pooler; leave it out"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("more", "kept"), [([], True), (["--new-pooler"], False)], ids=["kept", "new"])
def test_the_pooler_starts_anew_where_that_is_asked_for(
    more: list[str], kept: bool, model_folder: Folder, tmp_path: Path
) -> None:
    """A step of nearly no rate leaves everything else where it was."""
    (tmp_path / "t.tsv").write_text(LABELLED)
    words = ["finetune", "--train", str(tmp_path / "t.tsv"), "--model", str(model_folder("pairs")), "--validation", "0"]
    options = ["--out", str(tmp_path / "x"), "--steps", "1", "--lr", "1e-9", "--precision", "fp32"]
    assert run([*words, *options, *more]) == 0
    before, after = read_weights(model_folder("pairs")), read_weights(tmp_path / "x")
    changes = {name: float((after[name] - before[name]).abs().max()) for name in before if name.startswith("bert.")}
    assert max(change for name, change in changes.items() if ".pooler." not in name) < 1e-6
    assert (changes[POOLER] < 1e-6) == kept
