"""Tagging from words to spans: whole words, long sentences, and what a user can get wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import Table, read
from bertsmith.tasks import Columns, Encoded, Tag
from bertsmith.tasks.losses import IGNORED
from bertsmith.tasks.sentences import Sentences, split_words
from bertsmith.tasks.tagging import count_spans, spans_of
from bertsmith.text import Tokenizer

ROWS = [
    {
        "words": ["John", "Smith", "lives", "in", "New", "York", "."],
        "tags": ["I-PER", "I-PER", "O", "O", "I-LOC", "I-LOC", "O"],
    },
    {"words": ["Johnson", "ran"], "tags": ["I-PER", "O"]},
]
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def sentences(rows: list[dict[str, Any]] = ROWS, **columns: Any) -> Sentences:
    return Tag.read(Table.from_rows(rows, "train.txt"), Columns(**columns))


def outputs_saying(tags: list[list[str]], task: Tag, encoded: Encoded) -> np.ndarray:
    """Logits whose greatest, at each word's first piece, is that of its tag; elsewhere they say something else."""
    outputs = np.zeros((len(encoded.sequences.ids), task.num_outputs), dtype=np.float32)
    outputs[:, -1] = 1.0
    flat = [task.labels.index(tag) for row in tags for tag in row]
    outputs[encoded.notes["first_pieces"], flat] = 2.0
    return outputs


def test_iob1_is_learnt_as_iob2(tokenizer: Tokenizer) -> None:
    task = Tag.learn(sentences())
    assert (task.labels, task.scheme) == (LABELS, "IOB1")
    encoded = task.encode(sentences(), tokenizer, 32)
    tokens = [tokenizer.vocabulary[number] for number in encoded.sequences.ids]
    assert tokens[9:] == ["[CLS]", "john", "##s", "##o", "##n", "ran", "[SEP]"]
    names = [None if label == IGNORED else task.labels[label] for label in encoded.token_targets["label"]]
    assert names[:9] == [None, "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O", None]
    assert names[9:] == [None, "B-PER", None, None, None, "O", None]


def test_bioes_is_learnt_as_iob2(tokenizer: Tokenizer) -> None:
    rows = [
        {"tokens": ["John", "Smith", "ran"], "ner_tags": ["B-PER", "E-PER", "O"]},
        {"tokens": ["York"], "ner_tags": ["S-LOC"]},
    ]
    task = Tag.learn(sentences(rows))
    assert (task.labels, task.scheme) == (LABELS, "BIOES")
    assert [task.labels[number] for number in task.targets(sentences(rows))] == ["B-PER", "I-PER", "O", "B-LOC"]


def test_loss_counts_first_pieces_only(tokenizer: Tokenizer) -> None:
    task = Tag.learn(sentences(), class_weights={"O": 0.5}, label_smoothing=0.1)
    encoded = task.encode(sentences(), tokenizer, 32)
    batch = encoded.batch(np.array([1, 0]))
    logits = torch.randn(len(batch.ids), 5)
    expected = F.cross_entropy(
        logits, batch.targets["label"], weight=torch.tensor([0.5, 1, 1, 1, 1]), label_smoothing=0.1
    )
    loss = task.loss(logits, batch)
    torch.testing.assert_close(loss.mean, expected)
    assert float(loss.count) == 5 + 4 * 0.5  # words, those outside at half


def test_answers_and_scores(tokenizer: Tokenizer) -> None:
    task, examples = Tag.learn(sentences()), sentences()
    encoded = task.encode(examples, tokenizer, 32)
    said = [["B-PER", "I-PER", "O", "O", "I-LOC", "I-LOC", "O"], ["O", "B-PER"]]
    outputs = outputs_saying(said, task, encoded)
    answers = task.answers(outputs, encoded, examples)
    assert answers[0]["tags"] == ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]  # made valid
    assert answers[0]["spans"] == [
        {"type": "PER", "start": 0, "end": 2, "text": "John Smith"},
        {"type": "LOC", "start": 4, "end": 6, "text": "New York"},
    ]
    scores = task.scores(outputs, encoded, examples)
    assert scores == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "accuracy": 6 / 9})
    overall, by_type = count_spans(*task.spans(outputs, encoded, examples))
    assert (overall.right, by_type["LOC"].f1, by_type["PER"].f1) == (2, 1.0, 0.5)


def test_a_text_is_split_and_its_spans_count_characters(tokenizer: Tokenizer) -> None:
    task = Tag(LABELS)
    text = "Yes: John Smith, of New York!"
    examples = task.examples_of_texts([text])
    encoded = task.encode(examples, tokenizer, 64)
    said = [["O", "O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]]
    (answer,) = task.answers(outputs_saying(said, task, encoded), encoded, examples)
    assert answer["words"] == ["Yes", ":", "John", "Smith", ",", "of", "New", "York", "!"]
    assert [text[span["start"] : span["end"]] for span in answer["spans"]] == ["John Smith", "New York"]
    assert [span["text"] for span in answer["spans"]] == ["John Smith", "New York"]


@pytest.mark.parametrize("max_length", [3, 5, 7, 12, 64])
def test_long_sentences_are_split_at_words_and_joined_again(max_length: int, tokenizer: Tokenizer) -> None:
    generator = np.random.default_rng(max_length)
    vocabulary = ["john", "smithson", "ran", "zz", "abcdefgh", "."]
    rows = [
        {"words": [vocabulary[k] for k in generator.integers(0, 6, length)], "tags": ["B-PER", *["O"] * (length - 1)]}
        for length in (1, 30, 2, 17)
    ]
    rows.insert(2, {"words": [], "tags": []})
    examples = sentences(rows)
    task = Tag(LABELS)
    encoded = task.encode(examples, tokenizer, max_length)
    assert encoded.sequences.lengths.max() <= max_length
    tags = [[LABELS[k] for k in generator.integers(0, 5, len(row["words"]))] for row in rows]
    assert task.predicted(outputs_saying(tags, task, encoded), encoded, examples) == tags
    assert [answer["words"] for answer in task.answers(outputs_saying(tags, task, encoded), encoded, examples)] == [
        row["words"] for row in rows
    ]
    # every piece of every word is there in order, but for what a word is longer than a whole sequence
    ids, bounds = tokenizer.pieces_of_words([row["words"] for row in rows])
    room = max_length - 2
    wanted = [piece for first, end in itertools.pairwise(bounds) for piece in ids[first : min(end, first + room)]]
    inside = [piece for piece in encoded.sequences.ids if piece not in (tokenizer.cls_id, tokenizer.sep_id)]
    assert inside == wanted
    assert int(encoded.cut.sum()) == len(ids) - len(wanted)
    assert len(encoded.cut) == len(rows)
    # no word is parted
    starts = set(encoded.notes["first_pieces"].tolist())
    assert all(
        int(first) + 1 in starts
        for first, length in zip(encoded.sequences.bounds, encoded.sequences.lengths, strict=False)
        if length > 2
    )
    assert encoded.counts["sentence without words"] == 1
    pieces = np.minimum(np.diff(bounds), room)
    totals = [part.sum() for part in np.split(pieces, np.cumsum([len(row["words"]) for row in rows])[:-1])]
    assert encoded.counts["sentence too long for one sequence, and split"] == sum(total > room for total in totals)


def test_a_word_of_nothing_keeps_its_tag(tokenizer: Tokenizer) -> None:
    rows = [{"words": ["john", "\u200b", "ran"], "tags": ["B-PER", "I-PER", "O"]}]
    task = Tag(LABELS)
    encoded = task.encode(sentences(rows), tokenizer, 16)
    assert len(encoded.notes["first_pieces"]) == 3
    assert encoded.sequences.ids[2] == tokenizer.unk_id


def test_plain_tags_score_by_word(tokenizer: Tokenizer) -> None:
    rows = [{"words": ["cats", "ran"], "pos": ["NNS", "VBD"]}, {"words": ["mats"], "pos": ["NNS"]}]
    examples = sentences(rows, label="pos")
    task = Tag.learn(examples)
    assert (task.labels, task.scheme) == (("NNS", "VBD"), "plain")
    encoded = task.encode(examples, tokenizer, 16)
    outputs = outputs_saying([["NNS", "NNS"], ["NNS"]], task, encoded)
    scores = task.scores(outputs, encoded, examples)
    assert scores["f1"] == pytest.approx(2 / 3) == scores["accuracy"]
    assert task.answers(outputs, encoded, examples)[1] == {"words": ["mats"], "tags": ["NNS"]}


def test_settings_make_the_task_again() -> None:
    task = Tag.learn(sentences(), class_weights="balanced", focal_gamma=1.0)
    assert Tag(**task.settings()) == task


def test_words_and_tags_of_different_number_are_named() -> None:
    with pytest.raises(DataError, match=r"train.txt, row 2: 2 words but 3 tags in column 'tags'"):
        sentences([ROWS[0], {"words": ["a", "b"], "tags": ["O", "O", "O"]}])


def test_no_room_for_a_word() -> None:
    with pytest.raises(SettingsError, match="max_length 2 has no room"):
        Tag(LABELS).encode(sentences(), Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]), 2)


def test_texts_and_tags_parted_by_spaces() -> None:
    examples = sentences([{"text": "John's cat", "tags": "B-PER O"}])
    assert (examples.words, examples.tags) == ([["John's", "cat"]], [["B-PER", "O"]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop", ["don't", "stop"]),
        ("co-operate 3.5 U.S.", ["co-operate", "3.5", "U.S", "."]),
        ("(yes)--no...", ["(", "yes", ")", "-", "-", "no", ".", ".", "."]),
        ("'tis -5", ["'", "tis", "-", "5"]),
        ("我爱 Zürich", ["我", "爱", "Zürich"]),
        ("हिन्दी है", ["हिन्दी", "है"]),  # marks stay with their letters
        ("  ", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert [text[first:end] for first, end in split_words(text)] == words


def test_conll_2003(shared_data: Callable[[str], Path], tokenizer: Tokenizer) -> None:
    examples = Tag.read(read(shared_data("conll2003/eng.testa")), Columns())
    task = Tag.learn(examples)
    assert task.scheme == "IOB1"
    assert task.labels == ("O", *(f"{prefix}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for prefix in "BI"))
    assert examples.tags is not None
    spans = [kind for tags in examples.tags for kind, _, _ in spans_of(tags)]
    # entities of the development part, as the shared task's introduction counts them (table 2)
    assert {kind: spans.count(kind) for kind in set(spans)} == {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842}
    part = Tag.read(read(shared_data("conll2003/eng.testa")).select(range(200)), Columns())
    encoded = task.encode(part, tokenizer, 24)
    gold = [
        [task.labels[number] for number in row]
        for row in np.split(task.targets(part), np.cumsum([len(w) for w in part.words])[:-1])
    ]
    scores = task.scores(outputs_saying(gold, task, encoded), encoded, part)
    assert scores == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}


@pytest.mark.parametrize(
    ("labels", "scheme", "spans"),
    [
        (["O", "B-PER", "I-PER"], "IOB1", [("PER", 0, 2)]),
        (["I-PER", "B-PER", "O"], "IOB1", [("PER", 0, 2)]),
    ],
)
def test_a_published_tagger_is_known_by_its_labels(
    labels: list[str], scheme: str, spans: list[tuple[str, int, int]], tokenizer: Tokenizer
) -> None:
    task = Tag.from_labels(labels)
    assert (task.label_names, task.scheme) == (tuple(labels), scheme)
    examples = task.examples_of_texts([["john", "smith"]])
    encoded = task.encode(examples, tokenizer, 16)
    (answer,) = task.answers(outputs_saying([["I-PER", "I-PER"]], task, encoded), encoded, examples)
    assert [(span["type"], span["start"], span["end"]) for span in answer["spans"]] == spans


def test_a_published_tagger_of_plain_tags() -> None:
    assert Tag.from_labels(["NOUN", "VERB"]).scheme == "plain"


def test_a_published_tagger_without_iob2_is_scored_by_its_spans(tokenizer: Tokenizer) -> None:
    """Labels of IOB1, where nothing but a neighbour begins with B-: gold spans are the same in any scheme."""
    task = Tag.from_labels(["O", "I-PER", "I-LOC"])
    rows = [{"words": ["John", "Smith", "lives", "in", "York"], "tags": ["B-PER", "I-PER", "O", "O", "S-LOC"]}]
    encoded = task.encode(sentences(rows), tokenizer, 32)
    assert task.targets(sentences(rows)).tolist() == [IGNORED, 1, 0, 0, IGNORED]
    outputs = outputs_saying([["I-PER", "I-PER", "O", "O", "I-LOC"]], task, encoded)
    scores = task.scores(outputs, encoded, sentences(rows))
    assert scores == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}
    with pytest.raises(DataError, match="tag 'B-ORG' was not seen in training"):
        task.check(sentences([{"words": ["a"], "tags": ["B-ORG"]}]))


def test_insight_of_spans(tokenizer: Tokenizer) -> None:
    task, examples = Tag.learn(sentences()), sentences()
    encoded = task.encode(examples, tokenizer, 32)
    said = [["B-PER", "I-PER", "O", "O", "I-LOC", "B-LOC", "O"], ["O", "B-PER"]]
    insight = task.insight(outputs_saying(said, task, encoded), encoded, examples)
    (by_type,) = insight.breakdowns
    assert by_type.columns == ["precision", "recall", "f1", "found", "in truth"]
    assert by_type.rows == [("LOC", (0.0, 0.0, 0.0, 2, 1)), ("PER", (0.5, 0.5, 0.5, 2, 2))]
    assert [(one.text, one.gold, one.predicted) for one in insight.mistakes] == [
        ("John Smith lives in New York .", "New York (LOC)", "New (LOC) | York (LOC)"),
        ("Johnson ran", "Johnson (PER)", "ran (PER)"),
    ]
    right = [["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"], ["B-PER", "O"]]
    assert task.insight(outputs_saying(right, task, encoded), encoded, examples).mistakes == []
