"""Questions and answers by kind, and the surest of the wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.tables import Table
from bertsmith.tasks import Columns
from bertsmith.tasks.answer_insight import (
    break_down_answers,
    clip_around,
    judge_answers,
    length_group,
    question_word,
    surest_misses,
)
from bertsmith.tasks.questions import Questions, read_questions

CONTEXT = "The cat Tom sat on a mat."


def asked(*rows: tuple[str, str]) -> Questions:
    """Questions about the one context, each with its answer, "" for none."""
    table = [{"question": question, "context": CONTEXT, "answer": answer} for question, answer in rows]
    return read_questions(Table.from_rows(table, "q.jsonl"), Columns(), labelled=True)


def given(text: str, probability: float = 0.5) -> dict[str, Any]:
    start = CONTEXT.index(text) if text else None
    end = None if start is None else start + len(text)
    return {"answer": text, "start": start, "end": end, "probability": probability}


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Who sat?", "who"),
        ("To WHOM does it belong?", "who"),
        ("Whose mat is it?", "who"),
        ("Who's that?", "who"),
        ("On what did it sit, and why?", "what"),
        ("How many cats?", "how"),
        ("Somewhat odd, is it not?", "other"),
        ("", "other"),
    ],
)
def test_question_words(question: str, word: str) -> None:
    assert question_word(question) == word


def test_lengths_of_answers() -> None:
    groups = [length_group(" ".join(["w"] * count)) for count in (1, 2, 3, 4, 5, 6, 10, 11, 99)]
    assert groups == [
        "1 word",
        "2 words",
        "3 words",
        *["4 to 5 words"] * 2,
        *["6 to 10 words"] * 2,
        *["more than 10 words"] * 2,
    ]


def test_questions_without_an_answer_are_judged_as_in_squad_2() -> None:
    examples = asked(("Who sat?", "Tom"), ("Who ran?", ""), ("Who ate?", ""), ("Where?", "on a mat"))
    answers = [given(""), given(""), given("The cat", 0.9), given("a mat")]
    judged = judge_answers(examples, answers)
    assert [one.f1 for one in judged] == [0.0, 1.0, 0.0, pytest.approx(2 / 3)]
    by_word, by_length = break_down_answers(examples, judged)
    assert by_word.rows == [
        ("who", (pytest.approx(100 / 3), pytest.approx(100 / 3), 3)),
        ("where", (0.0, pytest.approx(200 / 3), 1)),
    ]
    assert [(name, values[2]) for name, values in by_length.rows] == [("1 word", 1), ("3 words", 1), ("no answer", 2)]
    misses = surest_misses(examples, answers, judged)
    assert [(one.text, one.gold, one.predicted) for one in misses] == [
        ("Who ate?", "(no answer)", "The cat"),
        ("Who sat?", "Tom", "(no answer)"),
    ]
    assert [one.confidence for one in misses] == [0.9, 0.5]


@pytest.mark.parametrize(
    ("spans", "most", "shown"),
    [
        ([(8, 11)], 100, "0123456789" * 3),
        ([(10, 12)], 6, "…890123…"),
        ([(0, 2)], 6, "012345…"),
        ([(28, 30)], 6, "…456789"),
        ([(10, 12), (14, 16)], 6, "…012345…"),  # both
        ([(10, 12), (27, 29)], 6, "…890123…"),  # too far apart: the first
        ([(None, None), (10, 12)], 6, "…890123…"),
        ([(10, 12), (-1, -1)], 6, "…890123…"),
        ([(None, None)], 6, "012345…"),
        ([(2, 28)], 6, "…234567…"),  # longer than all that is shown
    ],
)
def test_a_context_is_clipped_around_the_answers(spans: list[Any], most: int, shown: str) -> None:
    assert clip_around("0123456789" * 3, spans, most=most) == shown
