"""The data of a run: what is told of it, and where."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bertsmith.errors import DataError, count
from bertsmith.settings import from_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.opened import remarks
from bertsmith.stages.prepared import Prepared, prepare, show_data
from bertsmith.tables import Table
from bertsmith.training import BatchPlan, FitOptions

Folder = Callable[[str], Path]
CONTEXT = "the cat sat on the mat in the park and it was good. "


@pytest.fixture
def prepared(model_folder: Folder) -> Callable[..., Prepared]:
    """``prepared(rows, task="regress")`` is what a run on rows in memory starts from."""

    def make(rows: list[dict[str, Any]], **options: Any) -> Prepared:
        values = {"train": Table.from_rows(rows, "train"), "out": "x", "model": str(model_folder("classify"))}
        return prepare(from_flat(FinetuneSettings, {**values, **options}))

    return make


def messages(made: Prepared) -> list[str]:
    return [finding.message for finding in made.findings]


def test_rows_keep_their_numbers_when_others_are_held_out(prepared: Callable[..., Prepared]) -> None:
    rows = [{"text": f"a day {number}", "label": "good" if number % 2 else "bad"} for number in range(40)]
    rows[34]["text"] = rows[30]["text"] = "it was"
    made = prepared(rows, seed=1)  # which trains on both
    (told,) = (message for message in messages(made) if "repeat an earlier one" in message)
    assert "(train, row 35 repeats row 31)" in told
    rows[34]["label"] = None
    with pytest.raises(DataError, match=r"^train, row 35: the label is empty"):
        prepared(rows, seed=1)


def test_rows_that_come_again_are_told_before_training(prepared: Callable[..., Prepared]) -> None:
    rows = [{"text": f"a day {number}", "label": "good" if number % 2 else "bad"} for number in range(40)]
    rows += [{"text": "a day 3", "label": "good"}, {"text": "a day 5", "label": "bad"}]
    dev = [{"text": text, "label": "good"} for text in ("it was", "a day 7", "a day 9")]
    made = prepared(rows, eval=Table.from_rows(dev, "dev"))
    console = Console(file=StringIO(), width=500)
    show_data(made, console)
    assert isinstance(console.file, StringIO)
    told = console.file.getvalue()
    assert {finding.kind for finding in made.findings} == {"labels", "duplicates", "conflicts", "overlap"}
    for line in (
        "warning: 2 of 3 (66.7 %) evaluation examples are also in the training examples (the first is dev, row 2)",
        "training examples repeat an earlier one (train, row 41 repeats row 4)",
        "an earlier one under another label (train, row 6 is good, row 42 is bad)",
    ):
        assert line in told, told


def test_scores_are_no_labels(prepared: Callable[..., Prepared]) -> None:
    """Not even where all of them are whole."""
    made = prepared([{"text": f"a day {number}", "score": number % 4} for number in range(40)], task="regress")
    assert messages(made) == []
    assert made.described[0].labels == {}


def test_many_labels_are_counted_by_themselves(prepared: Callable[..., Prepared]) -> None:
    rows = [{"text": f"a day {number}", "label": "joy|hope" if number % 2 else "hope"} for number in range(40)]
    made = prepared(rows, multi_label=True, validation=0)
    assert messages(made) == ["2 labels: hope 40, joy 20"]
    assert made.described[0].labels == {"hope": 40, "joy": 20}


def test_what_is_cut_of_questions_is_counted_by_question(prepared: Callable[..., Prepared]) -> None:
    """However many windows repeat the cut question."""
    rows = [
        {"question": "who sat in the park " * (number % 2 * 8 + 1), "context": CONTEXT * (number + 3), "answer": "cat"}
        for number in range(6)
    ]
    made = prepared(rows, task="answer", validation=0, max_length=40, max_question=16, stride=4)
    assert len(made.encoded.train) > 12
    expected = ["6 questions with a context of several windows", "3 questions cut to 16 tokens"]
    assert messages(made) == [f"train: {one}" for one in expected]
    assert [count(number, what) for what, number in remarks(made.encoded.train, 40).items()] == expected
    assert made.described[0].truncated == 0


def test_what_is_cut_of_choices_is_counted_by_question(prepared: Callable[..., Prepared]) -> None:
    rows = [
        {"prompt": "the cat", "endings": ["sat", "ran " * 30, "was " * 30], "label": 0},
        {"prompt": "the dog", "endings": ["sat", "ran", "was"], "label": 0},
    ]
    made = prepared(rows, task="choose", validation=0, max_length=16)
    (told,) = messages(made)
    assert told.startswith("1 of 2 (50.0 %) training examples are cut to 16 tokens, 38 tokens in all")
    assert (made.described[0].truncated, made.described[0].share_truncated) == (1, 0.5)


def test_a_question_of_more_endings_than_a_pass_holds_is_told(prepared: Callable[..., Prepared]) -> None:
    rows = [{"prompt": "the cat", "endings": ["sat"] * size, "label": 0} for size in (2, 20, 50)]  # 6 tokens an ending
    made = prepared(rows, task="choose", validation=0, pass_tokens=119)
    (told,) = messages(made)
    assert told.startswith(
        "train: 2 rows of more than 119 tokens (--pass-tokens), the largest of 300: each is computed"
    )
    assert messages(prepared(rows, task="choose", validation=0, pass_tokens=300)) == []
    assert max(len(batch.ids) for batch in BatchPlan(made.encoded.train, FitOptions(pass_tokens=119)).batches(0)) == 300


def test_a_label_to_evaluate_on_is_checked_before_the_model_is_read(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    values = {"train": Table.from_rows(rows, "train"), "out": "x", "model": str(tmp_path / "nowhere")}
    values["eval"] = Table.from_rows([*rows, {"text": "c", "label": "z"}], "dev")
    with pytest.raises(DataError, match=r"^dev, row 3: label 'z' was not seen in training"):
        prepare(from_flat(FinetuneSettings, values))
