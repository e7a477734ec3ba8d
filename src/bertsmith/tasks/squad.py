"""Exact match and F1 of answers, as the official scripts of SQuAD 1.1 and 2.0 count them.

Enters: texts. Leaves: scores; percent (0 to 100) in `answer_scores`, as those scripts print them. Knows nothing of
models. Definition: Rajpurkar et al. 2016 (section 6.1) and 2018 (section 5), and their evaluation scripts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words parted by one space.

    >>> normalise("The  Taiping-Rebellion, an end.")
    'taipingrebellion end'
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str) -> float:
    """1.0 when both are the same after `normalise`, else 0.0."""
    return float(normalise(prediction) == normalise(gold))


def word_f1(prediction: str, gold: str, *, no_answer: bool = False) -> float:
    """F1 of the bags of words of both after `normalise`.

    ``no_answer`` is the rule of SQuAD 2.0: where either has no words, 1.0 if both have none. In 1.1 that is 0.0.
    """
    predicted, wanted = normalise(prediction).split(), normalise(gold).split()
    if no_answer and not (predicted and wanted):
        return float(predicted == wanted)
    common = sum((Counter(predicted) & Counter(wanted)).values())
    return 2 * common / (len(predicted) + len(wanted)) if common else 0.0


@dataclass(frozen=True)
class Judged:
    """One prediction judged against all the gold answers of its question, the best of them counting; 0 to 1."""

    exact: float
    f1: float


def judge(prediction: str, golds: Sequence[str], *, no_answer: bool = False) -> Judged:
    """The best score of a prediction over the gold answers. No gold answers, in SQuAD 2.0, mean the answer is none."""
    if no_answer:
        golds = [gold for gold in golds if normalise(gold)] or [""]
    return Judged(
        max(exact_match(prediction, gold) for gold in golds),
        max(word_f1(prediction, gold, no_answer=no_answer) for gold in golds),
    )


def answer_scores(predictions: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """SQuAD 1.1: ``exact_match`` and ``f1`` in percent."""
    judged = [judge(prediction, gold) for prediction, gold in zip(predictions, golds, strict=True)]
    return _percent(judged)


def answer_scores_2(
    predictions: Sequence[str],
    candidates: Sequence[str],
    no_answer_scores: Sequence[float],
    golds: Sequence[Sequence[str]],
) -> dict[str, float]:
    """SQuAD 2.0: as in 1.1, and the same of questions that have an answer (``has_answer_*``) and that have none
    (``no_answer_*``), and the best that any threshold on the no-answer score would reach (``best_*``).

    predictions:      what was answered, "" for no answer
    candidates:       the best text found in the context, whether or not it was answered
    no_answer_scores: how much more the model believes in no answer than in the candidate
    golds:            texts of the gold answers, none for a question without an answer
    """
    judged = [judge(prediction, gold, no_answer=True) for prediction, gold in zip(predictions, golds, strict=True)]
    has_answer = [any(normalise(text) for text in gold) for gold in golds]
    scores = _percent(judged)
    for name, wanted in [("has_answer", True), ("no_answer", False)]:
        part = [one for one, has in zip(judged, has_answer, strict=True) if has == wanted]
        if part:
            scores |= {f"{name}_{key}": value for key, value in _percent(part).items()}
    tried = [judge(candidate, gold, no_answer=True) for candidate, gold in zip(candidates, golds, strict=True)]
    exact, exact_threshold = best_threshold([one.exact for one in tried], no_answer_scores, has_answer)
    f1, f1_threshold = best_threshold([one.f1 for one in tried], no_answer_scores, has_answer)
    return scores | {
        "best_exact_match": 100 * exact,
        "best_exact_match_threshold": exact_threshold,
        "best_f1": 100 * f1,
        "best_f1_threshold": f1_threshold,
    }


def best_threshold(
    scores: Sequence[float], no_answer_scores: Sequence[float], has_answer: Sequence[bool]
) -> tuple[float, float]:
    """The best mean score over thresholds, and the threshold: no answer is given where the no-answer score is above it.

    scores: what the candidate of each question scores, counted where the question has an answer and one is given
    """
    order = sorted(range(len(scores)), key=lambda row: no_answer_scores[row])
    total = best = float(len(has_answer) - sum(has_answer))  # nothing answered: right where there is no answer
    threshold = min(no_answer_scores, default=0.0) - 1.0
    for place, row in enumerate(order):
        # answering this question as well gains its score, or loses the point of having kept silent
        total += scores[row] if has_answer[row] else -1.0
        last_of_equals = place + 1 == len(order) or no_answer_scores[order[place + 1]] > no_answer_scores[row]
        if last_of_equals and total > best:
            best, threshold = total, float(no_answer_scores[row])
    return best / max(1, len(scores)), threshold


def _percent(judged: Sequence[Judged]) -> dict[str, float]:
    count = max(1, len(judged))
    return {
        "exact_match": 100 * sum(one.exact for one in judged) / count,
        "f1": 100 * sum(one.f1 for one in judged) / count,
    }
