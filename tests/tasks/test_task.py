"""Splits of examples as tokens."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.tables import Table
from bertsmith.tasks import Choose, Classify, Columns, Encoded, Tag
from bertsmith.text import Tokenizer


def choices(tokenizer: Tokenizer, *counts: int) -> Encoded:
    """Questions with so many endings each."""
    rows = [
        {"prompt": "a cat", "endings": ["sat", "ran on", "is a dog"][:count], "label": count - 1} for count in counts
    ]
    return Choose().encode(Choose.read(Table.from_rows(rows, "a.jsonl"), Columns()), tokenizer, 16)


def test_concatenated_splits_give_the_rows_of_all(tokenizer: Tokenizer) -> None:
    parts = [choices(tokenizer, 2, 3), choices(tokenizer, 3), choices(tokenizer, 2, 2)]
    whole = Encoded.concatenate(parts)
    assert whole.rows.tolist() == [0, 2, 5, 8, 10, 12]
    one_by_one = [part.batch(np.array([row])) for part in parts for row in range(len(part))]
    for row, expected in enumerate(one_by_one):
        batch = whole.batch(np.array([row]))
        assert batch.ids.tolist() == expected.ids.tolist()
        assert batch.lengths.tolist() == expected.lengths.tolist()
        assert {name: values.tolist() for name, values in batch.targets.items()} == {
            name: values.tolist() for name, values in expected.targets.items()
        }
    assert (dict(whole.notes), dict(whole.counts)) == ({}, {})


def test_concatenated_splits_keep_targets_by_token(tokenizer: Tokenizer) -> None:
    rows = [{"words": ["john", "ran"], "tags": ["B-PER", "O"]}, {"words": ["york"], "tags": ["O"]}]
    encoded = Tag(["O", "B-PER"]).encode(Tag.read(Table.from_rows(rows, "a.txt"), Columns()), tokenizer, 16)
    whole = Encoded.concatenate([encoded, encoded])
    once = encoded.token_targets["label"].tolist()
    assert whole.token_targets["label"].tolist() == once + once
    assert whole.sequences.ids.tolist() == 2 * encoded.sequences.ids.tolist()


def test_nothing_concatenated_is_nothing() -> None:
    assert len(Encoded.concatenate([])) == 0


def test_splits_with_different_targets_are_not_concatenated(tokenizer: Tokenizer) -> None:
    rows = Classify.read(Table.from_rows([{"text": "a", "label": "x"}], "a.tsv"), Columns())
    labelled = Classify(["x", "y"]).encode(rows, tokenizer, 16)
    unlabelled = Classify(["x", "y"]).encode(Classify(["x", "y"]).examples_of_texts(["a"]), tokenizer, 16)
    for parts in ([labelled, unlabelled], [unlabelled, labelled]):
        with pytest.raises(ValueError, match="parts with different targets"):
            Encoded.concatenate(parts)
