"""Tags of words and the spans they spell, in every usual scheme, and span F1 as `conlleval` counts it.

Enters: tags. Leaves: spans, tags in one scheme, scores from 0 to 1. Knows nothing of words, tokens or models.

Schemes that are read: IOB1 (``I-`` everywhere, ``B-`` only between neighbours of one type), IOB2 or BIO (``B-`` begins
every span), BIOES and its other spellings BILOU and BMES. The scorer's rules for where a span begins and ends (Tjong
Kim Sang and Buchholz 2000; script `conlleval` of CoNLL-2000 to 2003) read them all, and make the best of an ``I-``
that follows no span of its type: it begins one. Inside, and in every answer, the scheme is IOB2.

Tags that are of no such scheme (parts of speech, say) are ``plain``: every word is a span of its own, so that span F1
is the share of words tagged right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["IOB1", "IOB2", "BIOES", "plain"]
Span = tuple[str, int, int]  # type, first word, word after the last

ONE_SPELLING = {"L": "E", "U": "S", "M": "I"}  # BILOU and BMES to BIOES


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag.

    >>> split_tag("B-ORG"), split_tag("U-PER"), split_tag("O")
    (('B', 'ORG'), ('S', 'PER'), ('O', ''))
    """
    if tag == "O":
        return "O", ""
    prefix, _, kind = tag.partition("-")
    return ONE_SPELLING.get(prefix, prefix), kind


def is_span_tag(tag: str) -> bool:
    """Whether a tag is ``O``, or a prefix of some scheme with a type behind it."""
    return tag == "O" or (tag[:2] in {"B-", "I-", "E-", "S-", "L-", "U-", "M-"} and len(tag) > 2)


def scheme_of(rows: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of the tags of some sentences: the strictest that fits them all."""
    begins_without_b = singles = False
    for tags in rows:
        prefix, kind = "O", ""
        for tag in tags:
            if not is_span_tag(tag):
                return "plain"
            before, kind_before = prefix, kind
            prefix, kind = split_tag(tag)
            singles = singles or prefix in "ES"
            begins_without_b = begins_without_b or (prefix == "I" and (before == "O" or kind != kind_before))
    if singles:
        return "BIOES"
    return "IOB1" if begins_without_b else "IOB2"


def spans_of(tags: Sequence[str], scheme: Scheme = "IOB2") -> list[Span]:
    """The spans that the tags of one sentence spell, in order. Only ``plain`` is read differently from the others.

    >>> spans_of(["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"])
    [('PER', 0, 2), ('PER', 2, 3), ('LOC', 4, 5), ('ORG', 5, 6)]
    """
    if scheme == "plain":
        return [(tag, word, word + 1) for word, tag in enumerate(tags)]
    spans: list[Span] = []
    first: int | None = None
    before, kind_before = "O", ""
    for word, tag in enumerate(tags):
        prefix, kind = split_tag(tag)
        begins = prefix in "BS" or (prefix in "IE" and (before in "OES" or kind != kind_before))
        if first is not None and (prefix == "O" or begins):
            spans.append((kind_before, first, word))
            first = None
        if begins:
            first = word
        before, kind_before = prefix, kind
    if first is not None:
        spans.append((kind_before, first, len(tags)))
    return spans


def tags_of(spans: Iterable[Span], num_words: int) -> list[str]:
    """The tags of a sentence in IOB2.

    >>> tags_of([("PER", 0, 2), ("LOC", 3, 4)], 4)
    ['B-PER', 'I-PER', 'O', 'B-LOC']
    """
    tags = ["O"] * num_words
    for kind, first, end in spans:
        tags[first:end] = ["B-" + kind] + ["I-" + kind] * (end - first - 1)
    return tags


def to_iob2(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Tags of any scheme in IOB2; plain ones as they are."""
    return list(tags) if scheme == "plain" else tags_of(spans_of(tags, scheme), len(tags))


@dataclass(frozen=True)
class SpanCounts:
    """Spans in the truth, spans found, and those found whose type and bounds are right."""

    gold: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.gold + self.found) if self.right else 0.0


def count_spans(
    gold: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]]
) -> tuple[SpanCounts, dict[str, SpanCounts]]:
    """Counts over all sentences, and the same by type of span, types sorted."""
    tallies: dict[str, list[int]] = {}
    for gold_row, found_row in zip(gold, found, strict=True):
        right = set(gold_row) & set(found_row)
        for place, spans in enumerate([gold_row, found_row, right]):
            for kind, _, _ in spans:
                tallies.setdefault(kind, [0, 0, 0])[place] += 1
    by_type = {kind: SpanCounts(*tallies[kind]) for kind in sorted(tallies)}
    sums = [sum(column) for column in zip(*tallies.values(), strict=True)] or [0, 0, 0]
    return SpanCounts(*sums), by_type
