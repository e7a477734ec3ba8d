"""The task `rerank`: pairs of a query and a document, their loss, and scores by query."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score

from bertsmith.errors import DataError
from bertsmith.tables import Table
from bertsmith.tasks import Columns, Rerank
from bertsmith.tasks.texts import Texts
from bertsmith.text import Tokenizer

LABELLED = {
    "query": ["who sat", "who sat", "who ran", "who ran"],
    "passage": ["the cat sat", "new york", "a dog ran", "the mat"],
    "label": [1, 0, 1, 0],
}


def pairs(columns: dict[str, list[Any]]) -> Texts:
    return Rerank.read(Table("f", columns), Columns())


def test_labelled_pairs_are_read_as_they_are() -> None:
    examples = pairs(LABELLED)
    assert examples.labels == [1, 0, 1, 0]
    assert examples.pairs == LABELLED["passage"]
    assert Rerank.learn(examples).scale == (0.0, 1.0)


def test_negatives_become_pairs_of_label_0() -> None:
    examples = pairs({"query": ["q", "r"], "positive": ["a", "b"], "negative": ["c", "d"]})
    assert list(zip(examples.texts, examples.pairs or [], examples.labels or [], strict=True)) == [
        ("q", "a", 1), ("q", "c", 0), ("r", "b", 1), ("r", "d", 0),
    ]  # fmt: skip
    assert examples.where(3) == "f, row 2"


def test_without_negatives_documents_of_other_queries_are_taken() -> None:
    number = 12
    columns = {"query": [f"q{i}" for i in range(number)], "answer": [f"a{i // 2}" for i in range(number)]}
    examples = pairs(columns)
    assert examples.labels is not None
    assert examples.pairs is not None
    assert sum(examples.labels) == number
    assert 3 * number <= len(examples.labels) - number <= 4 * number
    for query, document, label in zip(examples.texts, examples.pairs, examples.labels, strict=True):
        own = f"a{int(query[1:]) // 2}"
        assert (document == own) == bool(label)
    assert pairs(columns).pairs == examples.pairs


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "only single texts; give pairs of a query and a document"),
        ({**LABELLED, "label": [1, 1, 1, 1]}, "every label is 1; give pairs"),
        ({**LABELLED, "label": [1, 0, "x", 0]}, r"f, row 3: the label is 'x'; give 1 for a document that answers"),
    ],
)
def test_data_that_nothing_can_be_learnt_from(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Rerank.learn(pairs(columns))


def test_loss_is_binary_cross_entropy_of_scaled_labels(tokenizer: Tokenizer) -> None:
    examples = pairs({**LABELLED, "label": [3, 0, 2, 1]})
    task = Rerank.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    logits = torch.tensor([[2.0], [-1.0], [0.3], [0.1]])
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([1, 0, 2 / 3, 1 / 3]))
    assert float(task.loss(logits, encoded.batch(np.arange(4))).mean) == pytest.approx(float(expected))


def test_scores(tokenizer: Tokenizer) -> None:
    examples = pairs(LABELLED)
    task = Rerank.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    outputs = np.array([[1.5], [-0.2], [-0.4], [0.7]], dtype=np.float32)
    scores = task.scores(outputs, encoded, examples)
    assert scores["average_precision"] == pytest.approx(average_precision_score([1, 0, 1, 0], outputs[:, 0]))
    assert scores["accuracy"] == 0.5
    assert scores["mrr@10"] == 0.75
    assert [answer["score"] for answer in task.answers(outputs, encoded, examples)] == pytest.approx(
        (1 / (1 + np.exp(-outputs[:, 0].astype(float)))).tolist()
    )


def test_the_end_of_a_document_is_cut_and_never_the_query(tokenizer: Tokenizer) -> None:
    examples = pairs({"query": ["who sat"], "passage": ["the cat sat on the mat in the park"], "label": [1]})
    encoded = Rerank().encode(examples, tokenizer, 10)
    assert len(encoded.sequences.ids) == 10
    query = tokenizer.encode(["who sat"]).ids
    assert encoded.sequences.ids[: len(query)].tolist() == query.tolist()
