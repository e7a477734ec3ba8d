"""What the spans that a tagger found show: scores by type, and the sentences with most that is wrong.

Enters: gold and found spans of sentences, with their words. Leaves: a table and mistakes as plain data. Knows nothing
of tags, tokens or models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bertsmith.tasks.insight import MOST_MISTAKES, Breakdown, Mistake
from bertsmith.tasks.tagging import Span, SpanCounts


def spans_by_type(counts: Mapping[str, SpanCounts]) -> Breakdown:
    """Precision, recall and F1 of each type of span, how many were found and how many there are."""
    rows = [(kind, (one.precision, one.recall, one.f1, one.found, one.gold)) for kind, one in counts.items()]
    return Breakdown("By type", "type", ["precision", "recall", "f1", "found", "in truth"], rows)


def worst_sentences(
    gold: Sequence[Sequence[Span]],
    found: Sequence[Sequence[Span]],
    shown: Callable[[int], str],
    text_of: Callable[[int, Span], str],
    *,
    limit: int = MOST_MISTAKES,
) -> list[Mistake]:
    """The sentences with the most spans that were missed or found wrongly; of its spans only these are told.

    gold, found: spans of each sentence
    shown:       the sentence of a row as a person reads it
    text_of:     the text of a span in the sentence of a row
    """

    def listed(row: int, spans: Sequence[Span], others: Sequence[Span]) -> str:
        return " | ".join(f"{text_of(row, span)} ({span[0]})" for span in spans if span not in others)

    wrong = [len(set(one) ^ set(other)) for one, other in zip(gold, found, strict=True)]
    rows = sorted((row for row, count in enumerate(wrong) if count), key=lambda row: -wrong[row])
    return [
        Mistake(shown(row), listed(row, gold[row], found[row]), listed(row, found[row], gold[row]))
        for row in rows[:limit]
    ]
