"""The task `rerank`: pairs of a query and a document, their loss, and scores by query."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score

from bertsmith.errors import DataError
from bertsmith.tables import Table, split
from bertsmith.tasks import Columns, Rerank
from bertsmith.tasks.groups import Groups
from bertsmith.tasks.rerank import pairs_of
from bertsmith.text import Tokenizer

LABELLED = {
    "query": ["who sat", "who sat", "who ran", "who ran"],
    "passage": ["the cat sat", "new york", "a dog ran", "the mat"],
    "label": [1, 0, 1, 0],
}


def groups(columns: dict[str, list[Any]]) -> Groups:
    return Rerank.read(Table("f", columns), Columns())


def test_labelled_pairs_are_read_as_they_are() -> None:
    pairs = pairs_of(groups(LABELLED))
    assert pairs.labels is not None
    assert pairs.labels.tolist() == [1, 0, 1, 0]
    assert pairs.documents == LABELLED["passage"]
    assert pairs.first.tolist() == [0, 1, 2, 3]
    assert Rerank.learn(groups(LABELLED)).scale == (0.0, 1.0)


def test_negatives_become_pairs_of_label_0() -> None:
    pairs = pairs_of(groups({"query": ["q", "r"], "positive": ["a", "b"], "negative": ["c", "d"]}))
    assert pairs.labels is not None
    assert list(zip(pairs.queries, pairs.documents, pairs.labels.tolist(), strict=True)) == [
        ("q", "a", 1), ("q", "c", 0), ("r", "b", 1), ("r", "d", 0),
    ]  # fmt: skip
    assert pairs.first.tolist() == [0, 2]


@pytest.mark.parametrize("label", [[], [1] * 12], ids=["without labels", "all of them 1"])
def test_where_all_belong_together_documents_of_other_queries_are_taken(label: list[int]) -> None:
    number = 12
    columns: dict[str, list[Any]] = {
        "query": [f"q{i}" for i in range(number)],
        "positive": [f"a{i // 2}" for i in range(number)],
    }
    if label:
        columns = {"query": columns["query"], "passage": columns["positive"], "label": label}
    pairs = pairs_of(groups(columns))
    assert pairs.labels is not None
    assert pairs.labels.sum() == number
    assert 3 * number <= len(pairs.labels) - number <= 4 * number
    for query, document, belongs in zip(pairs.queries, pairs.documents, pairs.labels.tolist(), strict=True):
        assert (document == f"a{int(query[1:]) // 2}") == bool(belongs)
    assert pairs_of(groups(columns)).documents == pairs.documents


def test_a_held_out_part_has_its_own_strangers() -> None:
    """A split is made of the rows of the table, before documents are paired with other queries."""
    table = Table("f", {"query": [f"q{i}" for i in range(20)], "positive": [f"a{i}" for i in range(20)]})
    train, held_out = split([()] * 20, 0.25, 0, groups=Rerank.read(table, Columns()).groups)
    for rows in (train, held_out):
        part = pairs_of(Rerank.read(table.select(rows.tolist()), Columns()))
        assert set(part.documents) <= {f"a{row}" for row in rows}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "only single texts; give pairs of a query and a document"),
        ({**LABELLED, "label": [0, 0, 0, 0]}, "every label is 0; give pairs of other labels, too"),
        ({"query": ["a"], "positive": ["b"]}, "every label is 1; give pairs of other labels, too"),
        ({**LABELLED, "label": [1, 0, "x", 0]}, r"f, row 3: the label is 'x'; give 1 for a document that answers"),
    ],
)
def test_data_that_nothing_can_be_learnt_from(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Rerank.learn(groups(columns))


def test_an_answer_a_row_whatever_else_was_paired(tokenizer: Tokenizer) -> None:
    examples = groups({"query": ["q", "r"], "positive": ["a", "b"], "negative": ["c", "d"]})
    encoded = Rerank().encode(examples, tokenizer, 16)
    outputs = np.array([[0.0], [5.0], [2.0], [7.0]], dtype=np.float32)
    assert len(encoded) == 4
    assert len(encoded.cut) == 2
    assert [one["score"] for one in Rerank().answers(outputs, encoded, examples)] == pytest.approx([0.5, 0.880797])


def test_loss_is_binary_cross_entropy_of_scaled_labels(tokenizer: Tokenizer) -> None:
    examples = groups({**LABELLED, "label": [3, 0, 2, 1]})
    task = Rerank.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    logits = torch.tensor([[2.0], [-1.0], [0.3], [0.1]])
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([1, 0, 2 / 3, 1 / 3]))
    assert float(task.loss(logits, encoded.batch(np.arange(4))).mean) == pytest.approx(float(expected))


def test_scores(tokenizer: Tokenizer) -> None:
    examples = groups(LABELLED)
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
    examples = groups({"query": ["who sat"], "passage": ["the cat sat on the mat in the park"], "label": [1]})
    encoded = Rerank().encode(examples, tokenizer, 10)
    assert len(encoded.sequences.ids) == 10
    query = tokenizer.encode(["who sat"]).ids
    assert encoded.sequences.ids[: len(query)].tolist() == query.tolist()


def test_a_single_text_is_no_question() -> None:
    with pytest.raises(DataError, match="input 1: a single text; give a query and a document"):
        Rerank().examples_of_texts(["a"])
