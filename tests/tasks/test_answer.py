"""Question answering from files to answers: windows, characters, no answer, and answers that are not there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import Table, read
from bertsmith.tasks import AnswerQuestions, Columns, Encoded
from bertsmith.tasks.questions import Questions
from bertsmith.text import Tokenizer

CONTEXT = "The cat Tom sat on a mat. John Smith lives in New York."


def row(text: str | None = "Tom", start: int = 8, context: str = CONTEXT, **more: Any) -> dict[str, Any]:
    answers = [] if text is None else [{"text": text, "answer_start": start}]
    return {"id": f"q{start}", "question": "Who sat?", "context": context, "answers": answers} | more


def questions(*rows: dict[str, Any], labelled: bool = True) -> Questions:
    return AnswerQuestions.read(Table.from_rows(rows, "squad.json"), Columns(), labelled=labelled)


def sure_outputs(encoded: Encoded) -> np.ndarray:
    """Logits that are sure of the targets: in windows without the answer, of [CLS]."""
    outputs = np.zeros((len(encoded.sequences.ids), 2), dtype=np.float32)
    for column, name in enumerate(["start", "end"]):
        outputs[encoded.sequences.bounds[:-1] + encoded.row_targets[name], column] = 10.0
    return outputs


def decoded(encoded: Encoded, tokenizer: Tokenizer, window: int, first: int, last: int) -> str:
    ids = encoded.sequences.take([window]).ids[first : last + 1]
    return tokenizer.decode(ids.tolist())


def test_targets_are_the_tokens_of_the_answer(tokenizer: Tokenizer) -> None:
    examples = questions(row(), row("John Smith", 26), row(None))
    task = AnswerQuestions.learn(examples)
    assert task.no_answer
    encoded = task.encode(examples, tokenizer, 128)
    starts, ends = encoded.row_targets["start"].tolist(), encoded.row_targets["end"].tolist()
    assert decoded(encoded, tokenizer, 0, starts[0], ends[0]) == "tom"
    assert decoded(encoded, tokenizer, 1, starts[1], ends[1]) == "john smith"
    assert (starts[2], ends[2]) == (0, 0)
    loss = task.loss(torch.zeros(len(encoded.sequences.ids), 2), encoded.batch(np.arange(3)))
    assert float(loss.mean) == pytest.approx(np.log(encoded.sequences.lengths).mean())


def test_windows_cover_the_context_and_overlap(tokenizer: Tokenizer) -> None:
    context = " ".join(f"w{number} the cat" for number in range(60)) + " Tom ran."
    examples = questions(row("Tom", context.index("Tom"), context))
    task = AnswerQuestions(max_question=8, stride=6)
    encoded = task.encode(examples, tokenizer, 40)
    assert len(encoded) > 5
    assert encoded.sequences.lengths.max() == 40
    offsets, bounds = encoded.notes["offsets"], encoded.notes["bounds"]
    parts = [offsets[first:end].tolist() for first, end in itertools.pairwise(bounds)]
    assert all(left[-6:] == right[:6] for left, right in itertools.pairwise(parts))
    whole = [list(pair) for pair in tokenizer.pieces([context]).offsets]
    assert parts[0] + [pair for part in parts[1:] for pair in part[6:]] == [[int(a), int(b)] for a, b in whole]
    # [CLS] is the target where the answer is not
    tom = tokenizer.pieces([context]).offsets[-5:-2].tolist()
    holds = [all(pair in part for pair in tom) for part in parts]
    assert 0 < sum(holds) < len(holds)
    assert [bool(start > 0) for start in encoded.row_targets["start"]] == holds
    assert [bool(end > 0) for end in encoded.row_targets["end"]] == holds
    assert encoded.counts["question with a context of several windows"] == 1
    answers = task.answers(sure_outputs(encoded), encoded, examples)
    assert answers[0]["answer"] == "Tom"
    assert context[answers[0]["start"] : answers[0]["end"]] == "Tom"


def test_a_long_question_is_cut_and_counted(tokenizer: Tokenizer) -> None:
    examples = questions(row(question="the cat " * 40, context=CONTEXT * 9))
    encoded = AnswerQuestions(max_question=10, stride=5).encode(examples, tokenizer, 64)
    assert len(encoded) > 1
    assert encoded.counts["question cut to 10 tokens"] == 1
    assert not np.count_nonzero(encoded.cut)  # no text is cut to max_length: long ones are read in windows


def slow_best(starts: np.ndarray, ends: np.ndarray, most: int) -> tuple[float, int, int]:
    """Every span there is, one by one."""
    spans = [(i, j) for i in range(len(starts)) for j in range(i, min(i + most, len(ends)))]
    return max((float(starts[i] + ends[j]), i, j) for i, j in spans)


@pytest.mark.parametrize("max_answer", [1, 3, 30])
def test_answers_are_the_best_spans_of_the_context(max_answer: int, tokenizer: Tokenizer) -> None:
    examples = questions(row(), row(context="the mat. " * 30 + CONTEXT, start=8 + 270))
    task = AnswerQuestions(max_answer=max_answer, max_question=8, stride=5, num_best=7)
    encoded = task.encode(examples, tokenizer, 40)
    outputs = np.random.default_rng(0).standard_normal((len(encoded.sequences.ids), 2)).astype(np.float32)
    outputs[encoded.sequences.bounds[1:] - 1] = 99.0  # [SEP] is no part of the context
    outputs[encoded.sequences.bounds[:-1]] = 99.0
    answers = task.answers(outputs, encoded, examples)
    for number, answer in enumerate(answers):
        best: tuple[float, int, int] = (-np.inf, 0, 0)
        for window in np.flatnonzero(encoded.notes["questions"] == number):
            first = encoded.sequences.bounds[window] + encoded.notes["first"][window]
            part = outputs[first : encoded.sequences.bounds[window + 1] - 1]
            offsets = encoded.notes["offsets"][encoded.notes["bounds"][window] :]
            score, i, j = slow_best(part[:, 0], part[:, 1], max_answer)
            best = max(best, (score, int(offsets[i, 0]), int(offsets[j, 1])))
        assert (answer["score"], answer["start"], answer["end"]) == (pytest.approx(best[0]), *best[1:])
        context = examples.contexts[examples.context_of[number]]
        assert all(context[one["start"] : one["end"]] == one["answer"] for one in answer["nbest"])
        scores = [one["score"] for one in answer["nbest"]]
        assert scores == sorted(scores, reverse=True)
        assert len({one["answer"] for one in answer["nbest"]}) == len(answer["nbest"]) == 7
        assert 0 < sum(one["probability"] for one in answer["nbest"]) <= 1.000001
        assert answer["probability"] == answer["nbest"][0]["probability"]


def test_no_answer_is_given_past_the_threshold(tokenizer: Tokenizer) -> None:
    examples = questions(row(), row(None))
    task = AnswerQuestions.learn(examples)
    encoded = task.encode(examples, tokenizer, 128)
    outputs = sure_outputs(encoded)
    answers = task.answers(outputs, encoded, examples)
    assert [answer["answer"] for answer in answers] == ["Tom", ""]
    assert (answers[1]["start"], answers[1]["end"], answers[1]["score"]) == (None, None, 20.0)
    assert answers[1]["probability"] == answers[1]["nbest"][0]["probability"] > 0.99
    scores = task.scores(outputs, encoded, examples)
    assert scores["f1"] == scores["no_answer_f1"] == scores["has_answer_f1"] == scores["best_f1"] == 100.0
    # the text is preferred unless no answer is ahead by more than 20
    bold = AnswerQuestions(no_answer=True, no_answer_threshold=20.0)
    assert all(answer["answer"] for answer in bold.answers(outputs, encoded, examples))
    assert AnswerQuestions(**bold.settings()) == bold
    # a task that knows of no such questions always answers
    assert all(answer["answer"] for answer in AnswerQuestions().answers(outputs, encoded, examples))


def test_a_context_without_tokens_has_no_answer(tokenizer: Tokenizer) -> None:
    task = AnswerQuestions()
    examples = task.examples_of_texts([("Who?", " \u200b"), {"question": "Who?", "context": "Tom"}])
    encoded = task.encode(examples, tokenizer, 128)
    assert encoded.counts["context without tokens"] == 1
    answers = task.answers(np.zeros((len(encoded.sequences.ids), 2), np.float32), encoded, examples)
    assert (answers[0]["answer"], answers[0]["start"]) == ("", None)
    assert answers[1]["answer"]


def test_an_answer_that_stands_elsewhere_is_found(tokenizer: Tokenizer) -> None:
    examples = questions(row("New York", 30), row("Tom", 8))
    assert examples.spans.tolist() == [[46, 54], [8, 11]]
    assert AnswerQuestions().encode(examples, tokenizer, 128).counts["answer found elsewhere than said"] == 1


@pytest.mark.parametrize(("said", "found"), [(0, 0), (3, 0), (4, 6), (6, 6), (9, 6), (10, 12), (50, 12), (-4, 0)])
def test_the_nearest_occurrence_is_taken(said: int, found: int) -> None:
    assert questions(row("cat", said, "cat a cat b cat")).spans[0, 0] == found


def test_an_answer_that_is_not_in_its_context_is_named(tokenizer: Tokenizer) -> None:
    examples = questions(row(), row("Garfield", 3))
    message = r"^squad.json, row 2 \(id q3\): the answer 'Garfield' is not in the context \(1 such in all\)"
    with pytest.raises(DataError, match=message):
        AnswerQuestions.learn(examples)
    task = AnswerQuestions.learn(examples, allow_missing_answers=True)
    encoded = task.encode(examples, tokenizer, 128)
    assert encoded.counts["answer missing from the context (not learnt)"] == 1
    logits = torch.randn(len(encoded.sequences.ids), 2)
    both, one = encoded.batch(np.array([0, 1])), encoded.batch(np.array([0]))
    torch.testing.assert_close(task.loss(logits, both).mean, task.loss(logits[: len(one.ids)], one).mean)


def test_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="none of 1 questions has an answer"):
        AnswerQuestions.learn(questions(row(None)))


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["Tom", "cat"], "answer_start": [8, 4]},
        {"text": np.array(["Tom", "cat"], dtype=object), "answer_start": np.array([8, 4])},
        ["Tom", "cat"],
        [{"text": "Tom", "answer_start": 8}, {"text": "cat"}],
    ],
)
def test_other_forms_of_answers(answers: Any) -> None:
    examples = questions(row() | {"answers": answers})
    assert (examples.golds, examples.spans.tolist()) == ([["Tom", "cat"]], [[8, 11]])


def test_a_text_as_answer() -> None:
    examples = questions({"question": "Who?", "context": CONTEXT, "answer": "John Smith"})
    assert (examples.golds, examples.spans.tolist(), examples.moved) == ([["John Smith"]], [[26, 36]], 0)


def test_answers_of_no_known_form_are_named() -> None:
    with pytest.raises(DataError, match=r"row 1 .*: the answers are 5; give a list"):
        questions(row() | {"answers": 5})
    with pytest.raises(DataError, match=r"row 1 .*: 1 answer but 2 starts"):
        questions(row() | {"answers": {"text": ["Tom"], "answer_start": [1, 2]}})


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"text": None, "answer_start": 3}, "the text of an answer is None; give a text"),
        ([{"text": float("nan")}], "the text of an answer is nan; give a text"),
        ([{"text": "Tom", "answer_start": "eight"}], "answer_start is 'eight'; give the number of a character"),
        ({"text": ["Tom"], "answer_start": [8.5]}, "answer_start is 8.5; give"),
        ({"text": "Tom", "answer_start": [8]}, r"answer_start is \[8\]; give"),
    ],
)
def test_answers_of_a_wrong_kind_are_named(answers: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^squad.json, row 2 \(id q8\): {message}"):
        questions(row(), row() | {"answers": answers})


@pytest.mark.parametrize("value", ["False", "false", "0", "", None, False, 0, 0.0, float("nan")])
def test_flags_of_any_format_are_read(value: Any) -> None:
    """CSV has words where JSON has booleans, and not every word is true."""
    examples = questions(row(is_impossible=value), row(is_impossible={"": "1"}.get(value, "TRUE")))
    assert examples.golds == [["Tom"], []]


def test_a_flag_that_is_neither_is_named() -> None:
    with pytest.raises(DataError, match=r"row 1 .*: is_impossible is 'maybe'; give true or false"):
        questions(row(is_impossible="maybe"))


def test_a_missing_answer_is_none() -> None:
    assert questions(row() | {"answers": float("nan")}, row() | {"answers": None}).golds == [[], []]


def test_impossible_questions_have_no_answer(tokenizer: Tokenizer) -> None:
    examples = questions(row(is_impossible=True), row(is_impossible=False))
    assert examples.golds == [[], ["Tom"]]
    assert AnswerQuestions.strata(examples) == [False, True]
    assert AnswerQuestions().encode(examples, tokenizer, 128).counts["question without an answer"] == 1
    assert examples.groups == [0, 0]  # one context
    assert len(examples.contexts) == 1


def test_no_room_for_a_context(tokenizer: Tokenizer) -> None:
    with pytest.raises(SettingsError, match=r"max_length 64 leaves no room .*; give 69 or more"):
        AnswerQuestions().encode(questions(row()), tokenizer, 64)
    with pytest.raises(SettingsError, match="max_answer is 0; give 1 or more"):
        AnswerQuestions(max_answer=0)
    with pytest.raises(SettingsError, match="no_answer_threshold is inf; give a finite number"):
        AnswerQuestions(no_answer_threshold=float("inf"))


def test_inputs_that_are_no_questions() -> None:
    for wrong in ("c", "cd", None, 5, ("a",), ("a", None), {"question": "a"}):
        with pytest.raises(DataError, match=r"^input 2: .*; give \(question, context\), or a mapping"):
            AnswerQuestions().examples_of_texts([("a", "b"), wrong])


def test_squad_answers_survive_the_way_through_tokens(shared_data: Callable[[str], Path], starter_folder: Path) -> None:
    """A model that is sure of the targets scores as good as perfectly: no character is lost between text and tokens."""
    table = read(shared_data("squad/dev-v1.1.json")).select(range(0, 10_570, 10))
    examples = AnswerQuestions.read(table, Columns())
    assert examples.moved == 0
    assert not len(examples.lost)
    task = AnswerQuestions.learn(examples)
    encoded = task.encode(examples, Tokenizer.from_folder(starter_folder), 384)
    scores = task.scores(sure_outputs(encoded), encoded, examples)
    assert scores["exact_match"] > 99.0
    assert scores["f1"] > 99.5


def test_insight_of_answers(tokenizer: Tokenizer) -> None:
    examples = questions(
        row(),
        row("John Smith", 26, question="And who lives in New York?"),
        row("New York", 46, question="Where does John live?"),
    )
    task = AnswerQuestions.learn(examples)
    encoded = task.encode(examples, tokenizer, 128)
    outputs = sure_outputs(encoded)
    # the second question is answered with the first word of the context, surely
    first, end = encoded.sequences.bounds[1:3]
    outputs[first:end] = 0.0
    outputs[first + encoded.notes["first"][1]] = 10.0
    insight = task.insight(outputs, encoded, examples)
    by_word, by_length = insight.breakdowns
    assert by_word.columns == by_length.columns == ["exact_match", "f1", "examples"]
    assert by_word.rows == [("who", (50.0, 50.0, 2)), ("where", (100.0, 100.0, 1))]
    assert by_length.rows == [("1 word", (100.0, 100.0, 1)), ("2 words", (50.0, 50.0, 2))]
    (mistake,) = insight.mistakes
    assert (mistake.text, mistake.text_pair) == ("And who lives in New York?", CONTEXT)
    assert (mistake.gold, mistake.predicted) == ("John Smith", "The")
    assert mistake.confidence is not None
    assert mistake.confidence > 0.9
