"""The tags that a tagger knows, and tags that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table
from bertsmith.tasks import Columns, Tag
from bertsmith.tasks.losses import IGNORED
from bertsmith.tasks.sentences import Sentences, read_sentences
from bertsmith.tasks.tag_set import check_tags, learn_tags, number_tags

ROWS = [
    {"words": ["John", "Smith", "lives", "in", "York"], "tags": ["I-PER", "I-PER", "O", "O", "I-LOC"]},
    {"words": ["Johnson", "ran"], "tags": ["I-PER", "O"]},
]
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def sentences(rows: list[dict[str, Any]] = ROWS) -> Sentences:
    return read_sentences(Table.from_rows(rows, "train.txt"), Columns(), labelled=True)


def test_tags_of_spans_become_iob2() -> None:
    assert learn_tags(sentences()) == (LABELS, "IOB1")
    assert number_tags(sentences(), LABELS, "IOB1").tolist() == [3, 4, 0, 0, 1, 3, 0]


def test_plain_tags_stay_as_they_are() -> None:
    examples = sentences([{"words": ["cats", "ran"], "tags": ["NNS", "VBD"]}])
    assert learn_tags(examples) == (("NNS", "VBD"), "plain")
    assert number_tags(examples, ["VBD", "NNS"], "plain").tolist() == [1, 0]
    with pytest.raises(DataError, match=r"word 2 \('ran'\): tag 'VBD' was not seen in training; valid: 'NNS'"):
        check_tags(examples, ["NNS"], "plain")


def test_a_published_tagger_without_b_takes_the_tag_as_written() -> None:
    labels = ["O", "I-PER", "I-LOC"]
    assert number_tags(sentences(), labels, "IOB1").tolist() == [1, 1, 0, 0, 2, 1, 0]
    rows = [{"words": ["John", "Smith"], "tags": ["B-PER", "I-PER"]}]
    assert number_tags(sentences(rows), labels, "IOB1").tolist() == [IGNORED, 1]


def test_a_tag_not_seen_in_training_is_named() -> None:
    rows = [ROWS[0], {"words": ["a", "Acme"], "tags": ["O", "B-ORG"]}]
    with pytest.raises(DataError, match=r"train.txt, row 2, word 2 \('Acme'\): tag 'B-ORG' was not seen in training"):
        check_tags(sentences(rows), LABELS, "IOB1")
    # a type that is known may come in any scheme
    check_tags(sentences([{"words": ["York"], "tags": ["S-LOC"]}]), LABELS, "IOB1")


def test_one_tag_only_and_no_tags() -> None:
    with pytest.raises(DataError, match=r"train.txt, row 1: the only tag is 'O' in all 1 sentences"):
        learn_tags(sentences([{"words": ["a"], "tags": ["O"]}]))
    with pytest.raises(DataError, match="there are no tags"):
        learn_tags(Tag(LABELS).examples_of_texts(["a"]))


def test_a_slip_among_span_tags_is_named() -> None:
    with pytest.raises(DataError, match=r"row 2, word 1 \('b'\): tag 'I_PER' is neither O nor like B-TYPE"):
        learn_tags(sentences([{"words": ["a"], "tags": ["B-PER"]}, {"words": ["b"], "tags": ["I_PER"]}]))
