"""Classification from rows to answers, and what a user can get wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import Table, read
from bertsmith.tasks import Classify, Columns
from bertsmith.tasks.regress import Regress
from bertsmith.text import Tokenizer
from bertsmith.text.join import Truncation

ROWS = [
    {"sentence": "good cat", "label": "pos"},
    {"sentence": "bad dog ran", "label": "neg"},
    {"sentence": "good dog", "label": "pos"},
    {"sentence": "the mat", "label": "neutral"},
]


def table(rows: list[dict[str, Any]], path: str = "train.tsv") -> Table:
    made = Table.from_rows(rows, path)
    return Table(path, made.columns, list(range(2, len(rows) + 2)))


def learnt(rows: list[dict[str, Any]] = ROWS, **options: Any) -> Classify:
    return Classify.learn(Classify.read(table(rows), Columns()), **options)


def test_labels_are_learnt_in_order() -> None:
    assert learnt().labels == ("neg", "neutral", "pos")
    assert learnt([{"text": "x", "label": label} for label in (10, 9, 2, 9)]).labels == ("2", "9", "10")
    assert learnt([{"text": "x", "label": label} for label in ("10", "9", "-1")]).labels == ("-1", "9", "10")
    assert learnt([{"text": "x", "label": label} for label in (1.0, 0.0)]).labels == ("0", "1")


def test_rows_become_sequences_with_targets(tokenizer: Tokenizer) -> None:
    task, examples = learnt(), Classify.read(table(ROWS), Columns())
    encoded = task.encode(examples, tokenizer, 16)
    words = [tokenizer.vocabulary[number] for number in encoded.sequences.ids[:4]]
    assert words == ["[CLS]", "good", "cat", "[SEP]"]
    assert encoded.row_targets["label"].tolist() == [2, 0, 2, 1]
    batch = encoded.batch(np.array([1, 3]))
    assert batch.lengths.tolist() == [5, 4]
    logits = torch.randn(2, 3)
    torch.testing.assert_close(task.loss(logits, batch).mean, F.cross_entropy(logits, torch.tensor([0, 1])))


def test_answers_and_scores(tokenizer: Tokenizer) -> None:
    task, examples = learnt(), Classify.read(table(ROWS), Columns())
    encoded = task.encode(examples, tokenizer, 16)
    outputs = np.array([[0, 0, 2], [3, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    answers = task.answers(outputs, encoded, examples)
    assert [answer["label"] for answer in answers] == ["pos", "neg", "neg", "neutral"]
    assert answers[0]["probabilities"]["pos"] == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert sum(answers[1]["probabilities"].values()) == pytest.approx(1.0)
    scores = task.scores(outputs, encoded, examples)
    assert scores["accuracy"] == 0.75
    assert scores["f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert Classify.metric in scores


def test_settings_make_the_task_again() -> None:
    for task in (learnt(), learnt(class_weights="balanced", focal_gamma=2.0, label_smoothing=0.1)):
        assert Classify(**task.settings()) == task


def test_balanced_weights_let_classes_count_the_same(tokenizer: Tokenizer) -> None:
    task = learnt(class_weights="balanced")
    assert task.class_weights == pytest.approx({"neg": 4 / 3, "neutral": 4 / 3, "pos": 4 / 6})
    batch = task.encode(Classify.read(table(ROWS), Columns()), tokenizer, 16).batch(np.arange(4))
    logits = torch.randn(4, 3)
    expected = F.cross_entropy(logits, batch.targets["label"], weight=torch.tensor([4 / 3, 4 / 3, 4 / 6]))
    torch.testing.assert_close(task.loss(logits, batch).mean, expected)


def test_a_label_without_a_weight_weighs_one(tokenizer: Tokenizer) -> None:
    task = learnt(class_weights={"neg": 3})
    batch = task.encode(Classify.read(table(ROWS), Columns()), tokenizer, 16).batch(np.arange(4))
    assert float(task.loss(torch.zeros(4, 3), batch).count) == 6.0


def test_many_labels(tokenizer: Tokenizer) -> None:
    rows = [
        {"text": "good cat", "labels": "joy|fear"},
        {"text": "bad", "labels": ""},
        {"text": "cat", "labels": ["fear"]},
        {"text": "dog", "labels": "joy, hope"},
    ]
    examples = Classify.read(table(rows), Columns())
    task = Classify.learn(examples, multi_label=True, class_weights="balanced")
    assert task.labels == ("fear", "hope", "joy")
    assert task.class_weights == {"fear": 1.0, "hope": 3.0, "joy": 1.0}
    encoded = task.encode(examples, tokenizer, 16)
    assert encoded.row_targets["label"].tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1]]
    logits = torch.randn(4, 3)
    expected = F.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(encoded.row_targets["label"]), pos_weight=torch.tensor([1.0, 3.0, 1.0])
    )
    torch.testing.assert_close(task.loss(logits, encoded.batch(np.arange(4))).mean, expected)
    outputs = np.array([[1, -1, 1], [-1, -1, -1], [1, 1, -1], [-1, 1, 1]], dtype=np.float32)
    answers = task.answers(outputs, encoded, examples)
    assert [answer["label"] for answer in answers] == [["fear", "joy"], [], ["fear", "hope"], ["hope", "joy"]]
    assert task.scores(outputs, encoded, examples)["accuracy"] == 0.75
    assert Classify(**task.settings()) == task


def test_a_pair_of_columns_means_pairs(tokenizer: Tokenizer) -> None:
    rows = [
        {"Quality": "1", "#1 String": "a cat", "#2 String": "the cat"},
        {"Quality": "0", "#1 String": "a", "#2 String": "b"},
    ]
    examples = Classify.read(table(rows), Columns())
    assert (examples.texts, examples.pairs) == (["a cat", "a"], ["the cat", "b"])
    task = Classify.learn(examples)
    sequences = task.encode(examples, tokenizer, 16).sequences
    assert sequences.segments.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    with pytest.raises(DataError, match="input 1: trained on pairs of texts, but given single texts"):
        task.encode(task.examples_of_texts(["a cat"]), tokenizer, 16)


@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "only_second", "head_tail"])
def test_a_long_text_is_cut_as_asked(tokenizer: Tokenizer, truncation: Truncation) -> None:
    one, two = "a cat sat on the mat " * 2, "the dog " * 4
    rows = [{"sentence1": one, "sentence2": two, "label": label} for label in "xy"]
    task = Classify.learn(Classify.read(table(rows), Columns()), truncation=truncation)
    assert Classify(**task.settings()) == task
    encoded = task.encode(task.examples_of_texts([(one, two)]), tokenizer, 16)
    expected = tokenizer.encode([one], [two], max_length=16, truncation=truncation)
    assert encoded.sequences.ids.tolist() == expected.ids.tolist()
    assert encoded.sequences.cut.tolist() == [12 + 8 + 3 - 16]


@pytest.mark.parametrize(
    ("truncation", "message"),
    [("head_tall", "did you mean 'head_tail'"), ("only_second", "'only_second' is for pairs of texts")],
)
def test_an_impossible_truncation(truncation: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Classify(("x", "y"), pairs=False, truncation=truncation)
    with pytest.raises(SettingsError, match=message):
        Regress(pairs=False, truncation=truncation)


@pytest.mark.parametrize(
    ("names", "columns", "expected"),
    [
        (["sentence", "label"], Columns(), ("sentence", None)),
        (["question", "sentence", "label"], Columns(), ("question", "sentence")),  # QNLI
        (["Premise", "Hypothesis", "label"], Columns(), ("Premise", "Hypothesis")),
        (["text", "sentence1", "sentence2", "label"], Columns(), ("text", None)),  # a single text stands beside
        (["sentence1", "sentence2", "label"], Columns(text="sentence2"), ("sentence2", None)),
        (
            ["sentence1", "sentence2", "label"],
            Columns(text="sentence2", text_pair="sentence1"),
            ("sentence2", "sentence1"),
        ),
        (["text", "answer", "label"], Columns(text_pair="answer"), ("text", "answer")),
        (["text", "text_pair", "label"], Columns(), ("text", "text_pair")),
    ],
)
def test_text_columns(names: list[str], columns: Columns, expected: tuple[str, str | None]) -> None:
    examples = Classify.read(table([dict.fromkeys(names, "x") | {name: name for name in names}]), columns)
    assert (examples.texts[0], examples.pairs and examples.pairs[0]) == expected


def test_texts_to_predict() -> None:
    task = learnt()
    assert task.examples_of_texts(["a", "b"]).texts == ["a", "b"]
    assert task.examples_of_texts([("a", "b")]).pairs == ["b"]
    assert task.examples_of_texts([{"sentence1": "a", "sentence2": "b"}]).pairs == ["b"]
    assert len(task.examples_of_texts([])) == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("a", "b"), "c"], "input 2: a text where the first is a pair; give all inputs alike"),
        (["a", {"text": "c"}], "input 2: a mapping where the first is a text"),
        (["a", "b", None], "input 3: None is no text; give a text, a pair of texts, or a mapping"),
        ([float("nan")], "input 1: nan is no text"),
        ([("a", None)], r"input 1: \('a', None\) is no text"),
        ([{"text": "a"}, {"text": None}], "input, row 2: no text in column 'text'"),
    ],
)
def test_inputs_that_are_no_texts(inputs: list[Any], message: str) -> None:
    for task in (learnt(), Regress()):
        with pytest.raises(DataError, match=f"^{message}"):
            task.examples_of_texts(inputs)


def test_a_label_not_seen_in_training_is_named_before_the_model_runs(tokenizer: Tokenizer) -> None:
    rows = [*ROWS, {"sentence": "x", "label": "poz"}]
    examples = Classify.read(table(rows, "dev.tsv"), Columns())
    message = "dev.tsv, line 6: label 'poz' was not seen in training; did you mean 'pos'"
    with pytest.raises(DataError, match=message):
        learnt().check(examples)
    with pytest.raises(DataError, match=message):
        learnt().encode(examples, tokenizer, 16)


def test_one_class_only() -> None:
    with pytest.raises(DataError, match=r"train.tsv, line 2: the only label is 'pos' in all 1 rows"):
        learnt(ROWS[:1])


def test_an_empty_label_and_an_absent_text_are_named() -> None:
    with pytest.raises(DataError, match=r"train.tsv, line 3: the label is empty"):
        learnt([ROWS[0], {"sentence": "x", "label": " "}])
    for missing in ({}, {"sentence": float("nan")}):
        with pytest.raises(DataError, match=r"train.tsv, line 3: no text in column 'sentence'"):
            learnt([ROWS[0], {"label": "neg"} | missing])


def test_a_text_without_tokens_is_counted_and_allowed(tokenizer: Tokenizer) -> None:
    task = learnt()
    examples = task.examples_of_texts(["cat", "", "\u200b \x00"])
    encoded = task.encode(examples, tokenizer, 16)
    assert encoded.sequences.lengths.tolist() == [3, 2, 2]
    assert encoded.counts["text without tokens"] == 2
    pairs = Classify(["a", "b"]).examples_of_texts([("cat", ""), ("", "cat"), ("a", "b")])
    assert Classify(["a", "b"]).encode(pairs, tokenizer, 16).counts["text without tokens"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; give a number from 0 to below 1"),
        ({"focal_gamma": -1.0}, "focal_gamma is -1.0"),
        ({"focal_gamma": float("nan")}, "focal_gamma is nan"),
        ({"class_weights": {"poss": 1.0}}, "class_weights names 'poss', which is no label; did you mean 'pos'"),
        ({"class_weights": {"pos": -1.0}}, "class_weights gives 'pos' the weight -1.0"),
        ({"class_weights": "even"}, "class_weights is 'even'; give 'balanced'"),
        ({"label_smooting": 0.1}, "no option 'label_smooting'; did you mean 'label_smoothing'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        learnt(**options)


def test_real_files(shared_data: Callable[[str], Path], tokenizer: Tokenizer) -> None:
    examples = Classify.read(read(shared_data("mrpc/dev.tsv")), Columns())
    task = Classify.learn(examples)
    assert (task.labels, task.pairs, len(examples)) == (("0", "1"), True, 408)
    encoded = task.encode(examples, tokenizer, 64)
    assert int(encoded.row_targets["label"].sum()) == 279
    assert encoded.sequences.lengths.max() <= 64


def test_what_the_checkpoint_and_the_report_ask() -> None:
    examples = Classify.read(table(ROWS), Columns())
    task = Classify.learn(examples)
    assert (task.label_names, task.problem) == (("neg", "neutral", "pos"), "single_label_classification")
    assert task.count_labels(examples) == {"neg": 1, "neutral": 1, "pos": 2}
    assert Classify.strata(examples) == [("pos",), ("neg",), ("pos",), ("neutral",)]
    numbers = Classify.read(table([{"text": "a", "label": "1"}, {"text": "b", "label": 1.0}]), Columns())
    assert Classify.strata(numbers) == [("1",), ("1",)]
    many = Classify(["a", "b"], multi_label=True)
    rows = Classify.read(table([{"text": "x", "labels": "a|b"}, {"text": "y", "labels": "b"}]), Columns())
    assert (many.problem, many.count_labels(rows)) == ("multi_label_classification", {"a": 1, "b": 2})
    assert many.label_sets(rows) == [["a", "b"], ["b"]]


def test_insight_of_classes(tokenizer: Tokenizer) -> None:
    rows = [row | {"sentence2": f"pair {number}"} for number, row in enumerate(ROWS)]
    examples = Classify.read(table(rows), Columns(text="sentence", text_pair="sentence2"))
    task = Classify.learn(examples)
    outputs = np.array([[0, 0, 2], [3, 0, 0], [1, 0, 0], [5, 1, 0]], dtype=np.float32)
    insight = task.insight(outputs, task.encode(examples, tokenizer, 16), examples)
    assert insight.classes is not None
    assert insight.classes.labels == task.labels
    assert insight.classes.gold.tolist() == [2, 0, 2, 1]
    assert insight.classes.predicted.tolist() == [2, 0, 0, 0]
    np.testing.assert_allclose(insight.classes.probabilities, F.softmax(torch.from_numpy(outputs), 1), rtol=1e-6)
    assert [(one.text, one.text_pair, one.gold, one.predicted) for one in insight.mistakes] == [
        ("the mat", "pair 3", "neutral", "neg"),
        ("good dog", "pair 2", "pos", "neg"),
    ]
    assert insight.mistakes[1].confidence == pytest.approx(np.e / (np.e + 2))
    assert insight.calibration is not None
    assert insight.calibration.count.sum() == 4
    assert insight.calibration.error == task.scores(outputs, task.encode(examples, tokenizer, 16), examples)["ece"]


def test_insight_of_many_labels(tokenizer: Tokenizer) -> None:
    rows = [{"text": "a cat", "labels": "joy|fear"}, {"text": "a dog", "labels": "joy"}, {"text": "it", "labels": ""}]
    examples = Classify.read(table(rows), Columns())
    task = Classify.learn(examples, multi_label=True)
    outputs = np.array([[-2, 1], [-1, 1], [4, -1]], dtype=np.float32)
    insight = task.insight(outputs, task.encode(examples, tokenizer, 16), examples)
    assert insight.classes is None
    (by_label,) = insight.breakdowns
    assert by_label.columns == ["precision", "recall", "f1", "examples"]
    assert by_label.rows == [("fear", (0.0, 0.0, 0.0, 1)), ("joy", (1.0, 1.0, 1.0, 2))]
    assert [(one.text, one.gold, one.predicted) for one in insight.mistakes] == [
        ("it", "", "fear"),
        ("a cat", "fear, joy", "joy"),
    ]
    assert insight.mistakes[1].confidence == pytest.approx(1 / (1 + np.exp(-2)))  # that fear does not hold
    assert insight.calibration is not None
    assert insight.calibration.count.sum() == 6
    assert insight.calibration.error == task.scores(outputs, task.encode(examples, tokenizer, 16), examples)["ece"]
