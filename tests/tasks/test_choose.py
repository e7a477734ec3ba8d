"""Multiple choice from rows to answers, with as many endings as each question has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertsmith.errors import DataError
from bertsmith.tables import Table, read
from bertsmith.tasks import Choose, Columns
from bertsmith.tasks.choices import Choices
from bertsmith.text import Tokenizer

RAGGED = [
    {"prompt": "the cat", "endings": ["sat", "ran in the park"], "label": 0},
    {"prompt": "a dog", "endings": ["ran", "sat on the mat", "is good"], "label": "2"},
]


def questions(rows: list[dict[str, Any]]) -> Choices:
    return Choose.read(Table.from_rows(rows, "choice.jsonl"), Columns())


def test_from_rows_to_scores(tokenizer: Tokenizer) -> None:
    examples = questions(RAGGED)
    task = Choose.learn(examples, label_smoothing=0.1)
    assert Choose(**task.settings()) == task
    task = Choose.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    assert encoded.rows.tolist() == [0, 2, 5]
    first = encoded.sequences.take([3])
    assert [tokenizer.vocabulary[number] for number in first.ids] == [
        "[CLS]",
        "a",
        "dog",
        "[SEP]",
        "sat",
        "on",
        "the",
        "mat",
        "[SEP]",
    ]
    assert first.segments.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    outputs = np.array([0.0, 1.0, 0.5, -1.0, 3.0], dtype=np.float32)
    answers = task.answers(outputs[:, None], encoded, examples)
    assert [(answer["choice"], answer["text"]) for answer in answers] == [(1, "ran in the park"), (2, "is good")]
    assert [len(answer["probabilities"]) for answer in answers] == [2, 3]
    assert sum(answers[1]["probabilities"]) == pytest.approx(1.0)
    assert task.scores(outputs, encoded, examples)["accuracy"] == 0.5


def test_what_is_cut_counts_by_question(tokenizer: Tokenizer) -> None:
    encoded = Choose().encode(questions(RAGGED), tokenizer, 6)
    assert encoded.sequences.cut.tolist() == [0, 3, 0, 3, 1]
    assert encoded.cut.tolist() == [3, 4]


def test_loss_of_a_batch_in_another_order(tokenizer: Tokenizer) -> None:
    examples = questions(RAGGED)
    task = Choose.learn(examples)
    batch = task.encode(examples, tokenizer, 16).batch(np.array([1, 0]))
    assert len(batch.lengths) == 5
    logits = torch.randn(5)
    expected = F.cross_entropy(logits[:3], torch.tensor(2)) + F.cross_entropy(logits[3:], torch.tensor(0))
    torch.testing.assert_close(task.loss(logits, batch).mean, expected / 2)


def test_swag_columns(tokenizer: Tokenizer) -> None:
    row = {"sent1": "the cat sat.", "sent2": "it", "startphrase": "the cat sat. it", "label": "1"}
    row |= {f"ending{number}": f"ran {number}" for number in (1, 0, 10, 2)}
    examples = questions([row])
    assert (examples.prompts, examples.leads) == (["the cat sat."], ["it"])
    assert examples.endings == [["ran 0", "ran 1", "ran 2", "ran 10"]]  # by number
    sequence = Choose().encode(examples, tokenizer, 32).sequences.take([0])
    assert tokenizer.decode(sequence.ids.tolist()) == "the cat sat. it ran 0"


def test_questions_to_ask() -> None:
    examples = Choose().examples_of_texts([{"prompt": "a", "endings": ["x", "y"]}])
    assert (examples.prompts, examples.endings, examples.labels) == (["a"], [["x", "y"]], None)
    with pytest.raises(DataError, match="input 1: give a mapping"):
        Choose().examples_of_texts(["a"])


def test_codah(shared_data: Callable[[str], Path]) -> None:
    names = ["category", "prompt", "ending0", "ending1", "ending2", "ending3", "label"]
    examples = Choose.read(read(shared_data("codah/fold_0/dev.tsv"), columns=names), Columns())
    assert len(examples) == 556
    assert Choose.learn(examples).targets(examples).max() == 3
    assert examples.shown(0)[0] == examples.prompts[0]


def test_insight_of_choices(tokenizer: Tokenizer) -> None:
    rows = [*RAGGED, {"prompt": "it", "endings": ["is", "was"], "label": "a"}]
    examples = questions(rows)
    task = Choose.learn(examples)
    outputs = np.array([0.0, 1.0, 0.5, 3.0, 2.0, 0.0, 5.0], dtype=np.float32)
    insight = task.insight(outputs[:, None], task.encode(examples, tokenizer, 16), examples)
    assert [(one.text, one.gold, one.predicted) for one in insight.mistakes] == [
        ("it", "is", "was"),  # 0.99 sure
        ("the cat", "sat", "ran in the park"),  # 0.73
        ("a dog", "is good", "sat on the mat"),  # 0.69
    ]
    assert insight.mistakes[1].confidence == pytest.approx(1 / (1 + np.exp(-1)))
    assert insight.calibration is not None
    assert insight.calibration.count.sum() == 3
    assert insight.calibration.error == task.scores(outputs, task.encode(examples, tokenizer, 16), examples)["ece"]
    outputs[:2] = [1.0, 0.0]
    insight = task.insight(outputs, task.encode(examples, tokenizer, 16), examples)
    (by_count,) = insight.breakdowns
    assert (by_count.columns, by_count.rows) == (["accuracy", "examples"], [("2", (0.5, 2)), ("3", (0.0, 1))])
    pairs = questions([rows[0], rows[2]])
    assert task.insight(outputs[:4], task.encode(pairs, tokenizer, 16), pairs).breakdowns == []
