"""Regression from rows to answers, and scores that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import Table
from bertsmith.tasks import Columns, Regress
from bertsmith.text import Tokenizer


def table(scores: list[Any]) -> Table:
    count = len(scores)
    columns = {"sentence1": ["a cat"] * count, "sentence2": ["the cat sat"] * count, "score": scores}
    return Table("sts.csv", columns, list(range(1, count + 1)))


def test_from_rows_to_scores(tokenizer: Tokenizer) -> None:
    examples = Regress.read(table(["0.5", 4, "3.25", 1.0]), Columns())
    task = Regress.learn(examples)
    assert Regress(**task.settings()) == task
    encoded = task.encode(examples, tokenizer, 16)
    assert encoded.row_targets["score"].tolist() == [0.5, 4.0, 3.25, 1.0]
    logits = torch.randn(4, 1)
    loss = task.loss(logits, encoded.batch(np.arange(4)))
    torch.testing.assert_close(loss.mean, F.mse_loss(logits[:, 0], torch.tensor([0.5, 4.0, 3.25, 1.0])))
    outputs = np.array([[0.0], [5.0], [3.0], [1.0]], dtype=np.float32)
    assert task.answers(outputs, encoded, examples)[1] == {"score": 5.0}
    scores = task.scores(outputs, encoded, examples)
    assert scores["mse"] == pytest.approx((0.25 + 1 + 0.0625 + 0) / 4)
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(np.corrcoef(outputs[:, 0], [0.5, 4.0, 3.25, 1.0])[0, 1])


@pytest.mark.parametrize("score", ["nan", float("nan"), "inf", "-inf", "", None, "four", [1]])
def test_a_score_that_is_no_finite_number_is_named(score: Any, tokenizer: Tokenizer) -> None:
    examples = Regress.read(table([1.0, score]), Columns())
    for attempt in (
        lambda: Regress.learn(examples),
        lambda: Regress().check(examples),
        lambda: Regress().encode(examples, tokenizer, 16),
    ):
        with pytest.raises(DataError, match=r"^sts.csv, line 2: the score is .* number"):
            attempt()


def test_regression_has_no_options() -> None:
    with pytest.raises(SettingsError, match="task 'regress' has no option 'focal_gamma'"):
        Regress.learn(Regress.read(table([1.0]), Columns()), focal_gamma=2.0)


def test_continuous_scores_can_be_stratified() -> None:
    examples = Regress.read(table(["0.5", "4"]), Columns())
    assert Regress.strata(examples) == [0.5, 4.0]
    assert Regress().count_labels(examples) == {}


def test_insight_of_scores(tokenizer: Tokenizer) -> None:
    examples = Regress.read(table([0.5, 4, 3.25]), Columns())
    task = Regress.learn(examples)
    outputs = np.array([[0.0], [1.0], [3.5]], dtype=np.float32)
    insight = task.insight(outputs, task.encode(examples, tokenizer, 16), examples)
    assert insight.regression is not None
    assert insight.regression.gold.tolist() == [0.5, 4.0, 3.25]
    assert insight.regression.predicted.tolist() == [0.0, 1.0, 3.5]
    assert [(one.gold, one.predicted) for one in insight.mistakes] == [
        ("4.00", "1.00"),
        ("0.50", "0.00"),
        ("3.25", "3.50"),
    ]
    assert (insight.mistakes[0].text, insight.mistakes[0].text_pair) == ("a cat", "the cat sat")
