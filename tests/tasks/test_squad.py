"""Exact match and F1 of answers against twins of the official definitions and worked examples."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.squad import (
    answer_scores,
    answer_scores_2,
    best_threshold,
    exact_match,
    judge,
    normalise,
    word_f1,
)


def slow_words(text: str) -> list[str]:
    """The official order: lower case, punctuation out, articles out, white space."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def slow_f1(prediction: str, gold: str) -> float:
    """F1 of SQuAD 1.1 by precision and recall, every common word struck off as it is counted."""
    predicted, left = slow_words(prediction), slow_words(gold)
    wanted, same = len(left), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / wanted
    return 2 * precision * recall / (precision + recall)


TEXTS = st.lists(
    st.sampled_from(["the", "A", "cat", "Cat.", "U.S.", "-", "an", "1,000", "dog's", "\t"]), max_size=6
).map(" ".join)


@given(TEXTS, TEXTS)
def test_scores_are_the_official_ones(prediction: str, gold: str) -> None:
    assert word_f1(prediction, gold) == pytest.approx(slow_f1(prediction, gold))
    assert exact_match(prediction, gold) == (slow_words(prediction) == slow_words(gold))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat", "cat"),
        ("a theatre, an anthem", "theatre anthem"),
        ("U.S.", "us"),
        ("co-operate", "cooperate"),
        ("«Où»", "«où»"),  # only ASCII punctuation goes
        ("the", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_the_best_gold_answer_counts() -> None:
    judged = judge("Denver Broncos", ["Broncos", "the Denver Broncos!", "Carolina"])
    assert (judged.exact, judged.f1) == (1.0, 1.0)
    assert judge("Denver", ["Denver Broncos", "Carolina"]).f1 == pytest.approx(2 / 3)


def test_two_answers_without_words_agree_in_2_0_only() -> None:
    assert word_f1("the", "a") == 0.0
    assert word_f1("the", "a", no_answer=True) == 1.0
    assert word_f1("cat", "", no_answer=True) == 0.0


def test_scores_are_percent() -> None:
    scores = answer_scores(["cat", "big dog", "x"], [["the cat"], ["dog"], ["y"]])
    assert scores["exact_match"] == pytest.approx(100 / 3)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3) / 3)


def test_scores_of_questions_with_and_without_answer() -> None:
    scores = answer_scores_2(
        predictions=["cat", "", "big dog", ""],
        candidates=["cat", "fish", "big dog", "cat"],
        no_answer_scores=[-3.0, 1.0, -2.0, 2.0],
        golds=[["cat"], [], [], ["the cat"]],
    )
    assert scores["exact_match"] == scores["f1"] == 50.0  # the first two
    assert scores["has_answer_exact_match"] == scores["has_answer_f1"] == 50.0
    assert scores["no_answer_exact_match"] == scores["no_answer_f1"] == 50.0
    # every threshold: none answered 2, one answered 3, two 2, three 1, all 2
    assert (scores["best_f1"], scores["best_f1_threshold"]) == (75.0, -3.0)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_the_best_threshold_is_the_best_of_all_tried(rows: list[tuple[float, float, bool]]) -> None:
    scores, silences, has_answer = ([row[column] for row in rows] for column in range(3))

    def mean_at(threshold: float) -> float:
        answered = [silence <= threshold for silence in silences]
        kept = [
            (score if given else 0.0) if has else float(not given)
            for score, given, has in zip(scores, answered, has_answer, strict=True)
        ]
        return sum(kept) / len(kept)

    best, threshold = best_threshold(scores, silences, has_answer)
    assert best == pytest.approx(max(mean_at(tried) for tried in [-9.0, *silences]))
    assert mean_at(threshold) == pytest.approx(best)
