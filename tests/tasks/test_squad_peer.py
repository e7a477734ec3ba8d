"""Exact match and F1 of answers against another implementation of the official script.

The peer counts two texts without words as alike (as SQuAD 2.0 does); the script of 1.1 gives them an F1 of 0. So every
text here has a word.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from bertsmith.tasks.squad import answer_scores, normalise

WORDS = st.sampled_from(
    ["the", "A", "an", "cat", "Cat.", "U.S.", "–", "1,000", "dog's", "\t", "Über", "«ja»", "猫", ""]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=12)).filter(normalise)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_scores_are_those_of_the_peer(answered: list[tuple[str, list[str]]]) -> None:
    predictions = [{"prediction_text": text, "id": str(row)} for row, (text, _) in enumerate(answered)]
    gold = [
        {"answers": {"text": texts, "answer_start": [0] * len(texts)}, "id": str(row)}
        for row, (_, texts) in enumerate(answered)
    ]
    peer = squad(predictions, gold)
    ours = answer_scores([text for text, _ in answered], [texts for _, texts in answered])
    assert ours["exact_match"] == pytest.approx(float(peer["exact_match"]), abs=1e-4)
    assert ours["f1"] == pytest.approx(float(peer["f1"]), abs=1e-4)
