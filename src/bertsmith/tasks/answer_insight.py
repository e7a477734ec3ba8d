"""What the answers to questions show: scores by kind of question and of answer, and the surest of the wrong ones.

Enters: questions with gold answers, and the answers given. Leaves: tables and mistakes as plain data. Knows nothing of
tokens or models.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertsmith.tasks.insight import Breakdown, Mistake, surest
from bertsmith.tasks.questions import Questions
from bertsmith.tasks.squad import Judged, judge
from bertsmith.tasks.task import Answer

QUESTION_WORDS = ["who", "what", "when", "where", "which", "how", "why"]
QUESTION_WORD = re.compile(rf"\b({'|'.join([*QUESTION_WORDS, 'whom', 'whose'])})\b", re.IGNORECASE)
OTHER = "other"
NO_ANSWER = "no answer"
LONGEST = [1, 2, 3, 5, 10]  # words in the answers of each group
LENGTHS = ["1 word", "2 words", "3 words", "4 to 5 words", "6 to 10 words", "more than 10 words"]
SHOWN = 300  # characters of a context around an answer


def judge_answers(examples: Questions, given: Sequence[Answer]) -> list[Judged]:
    """Each answer judged by the rules of SQuAD 2.0 where some questions have no answer, else by those of 1.1."""
    golds = examples.golds or []
    some_have_none = not all(golds)
    return [judge(one["answer"], gold, no_answer=some_have_none) for one, gold in zip(given, golds, strict=True)]


def break_down_answers(examples: Questions, judged: Sequence[Judged]) -> list[Breakdown]:
    """Exact match and F1, in percent, by question word and by words in the (first) gold answer."""
    golds = examples.golds or []
    lengths = [length_group(gold[0]) if gold else NO_ANSWER for gold in golds]
    words = [question_word(question) for question in examples.questions]
    return [
        _by_group("By question word", "question word", [*QUESTION_WORDS, OTHER], words, judged),
        _by_group("By length of the answer", "gold answer", [*LENGTHS, NO_ANSWER], lengths, judged),
    ]


def question_word(question: str) -> str:
    """The first word of the question that asks; "whom" and "whose" are "who".

    >>> question_word("In what year was Whose Line made?"), question_word("Name a cat.")
    ('what', 'other')
    """
    found = QUESTION_WORD.search(question)
    if found is None:
        return OTHER
    word = found[1].lower()
    return "who" if word.startswith("who") else word


def length_group(answer: str) -> str:
    """The group of answers that have as many words.

    >>> length_group("Tom"), length_group("a mat in New York")
    ('1 word', '4 to 5 words')
    """
    return LENGTHS[bisect_left(LONGEST, max(1, len(answer.split())))]


def surest_misses(examples: Questions, given: Sequence[Answer], judged: Sequence[Judged]) -> list[Mistake]:
    """The answers that share no word with a gold one, of which the model was most sure, with the context around."""
    wrong = np.array([one.f1 == 0 for one in judged], dtype=bool)
    mistakes = []
    for row in surest(wrong, np.array([answer["probability"] for answer in given])):
        gold = (examples.golds or [])[row]
        spans = [(given[row]["start"], given[row]["end"]), examples.spans[row].tolist() if gold else (None, None)]
        mistakes.append(
            Mistake(
                text=examples.questions[row],
                gold=gold[0] if gold else f"({NO_ANSWER})",
                predicted=given[row]["answer"] or f"({NO_ANSWER})",
                confidence=given[row]["probability"],
                text_pair=clip_around(examples.contexts[examples.context_of[row]], spans),
            )
        )
    return mistakes


def clip_around(context: str, spans: Sequence[tuple[Any, Any]], *, most: int = SHOWN) -> str:
    """At most ``most`` characters of a context around the spans, or around the first where they are too far apart.

    ``spans`` are first characters and ones after the last; ``None`` or negative where there is none. "…" stands for
    what is left out.

    >>> clip_around("The cat Tom sat on a mat.", [(None, None), (8, 11)], most=11)
    '…cat Tom sat…'
    """
    there = [(start, end) for start, end in spans if start is not None and start >= 0] or [(0, 0)]
    first, last = min(start for start, _ in there), max(end for _, end in there)
    if last - first > most:
        first, last = there[0]
    middle = (first + last) // 2
    begin = max(0, min(middle - most // 2, len(context) - most))
    end = begin + most
    return ("…" if begin else "") + context[begin:end] + ("…" if end < len(context) else "")


def _by_group(
    title: str, heading: str, order: Sequence[str], groups: Sequence[str], judged: Sequence[Judged]
) -> Breakdown:
    """Mean scores of each group that occurs."""
    members: dict[str, list[Judged]] = {group: [] for group in order}
    for group, one in zip(groups, judged, strict=True):
        members[group].append(one)
    rows = [
        (
            group,
            (
                100 * float(np.mean([one.exact for one in ones])),
                100 * float(np.mean([one.f1 for one in ones])),
                len(ones),
            ),
        )
        for group, ones in members.items()
        if ones
    ]
    return Breakdown(title, heading, ["exact_match", "f1", "examples"], rows)
