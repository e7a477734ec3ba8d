"""Spans of tags against the rules of `conlleval`, written out here as it has them, and against worked examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.tagging import (
    Span,
    SpanCounts,
    count_spans,
    scheme_of,
    spans_of,
    split_tag,
    tags_of,
    to_iob2,
)


def conlleval_spans(tags: list[str]) -> list[Span]:
    """The two tables of `conlleval` (which pairs of prefixes end a span, which begin one), one word at a time."""
    end_pairs = {"BB", "BO", "IB", "IO", "EE", "EI", "EO", "EB", "SB", "SI", "SO", "SE", "SS", "ES", "IS", "BS"}
    begin_pairs = {"BB", "IB", "OB", "EB", "SB", "OI", "EI", "SI", "OE", "EE", "SE", "OS", "BS", "IS", "ES", "SS"}
    spans: list[Span] = []
    before, kind_before, first = "O", "", 0
    for word, tag in enumerate([*tags, "O"]):
        prefix, kind = ("O", "") if tag == "O" else (tag[0], tag[2:])
        differs = kind != kind_before
        if before != "O" and (before + prefix in end_pairs or differs):
            spans.append((kind_before, first, word))
        if prefix != "O" and (before + prefix in begin_pairs or differs):
            first = word
        before, kind_before = prefix, kind
    return spans


TAGS = st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("X", "Y"))]), max_size=12)


@given(TAGS)
def test_spans_are_conllevals(tags: list[str]) -> None:
    assert spans_of(tags) == conlleval_spans(tags)


@given(TAGS)
def test_iob2_keeps_the_spans(tags: list[str]) -> None:
    converted = to_iob2(tags, "BIOES")
    assert spans_of(converted) == spans_of(tags)
    assert tags_of(spans_of(converted), len(tags)) == converted
    assert scheme_of([converted]) == "IOB2"


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-PER I-PER O I-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),  # IOB1
        ("I-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),  # IOB1, neighbours
        ("B-PER I-PER B-PER O", [("PER", 0, 2), ("PER", 2, 3)]),  # IOB2
        ("O I-ORG O", [("ORG", 1, 2)]),  # IOB2, invalid: begins with I
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # IOB2, invalid: the type changes
        ("B-ORG I-ORG E-ORG S-LOC", [("ORG", 0, 3), ("LOC", 3, 4)]),  # BIOES
        ("B-ORG I-ORG L-ORG U-LOC U-LOC", [("ORG", 0, 3), ("LOC", 3, 4), ("LOC", 4, 5)]),  # BILOU
        ("B-ORG M-ORG E-ORG O", [("ORG", 0, 3)]),  # BMES
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("", []),
    ],
)
def test_worked_examples(tags: str, spans: list[Span]) -> None:
    assert spans_of(tags.split()) == spans


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["I-PER I-PER O", "O B-PER"], "IOB1"),
        (["B-PER I-PER O", "O B-PER B-LOC I-LOC"], "IOB2"),
        (["B-PER E-PER O", "S-LOC"], "BIOES"),
        (["U-PER O"], "BIOES"),
        (["O O"], "IOB2"),
        (["NN VBZ O"], "plain"),
        (["B- I-"], "plain"),
    ],
)
def test_schemes_are_told_apart(rows: list[str], scheme: str) -> None:
    assert scheme_of([row.split() for row in rows]) == scheme


def test_types_may_hold_hyphens() -> None:
    assert split_tag("B-work-of-art") == ("B", "work-of-art")
    assert spans_of(["B-work-of-art", "I-work-of-art"]) == [("work-of-art", 0, 2)]


def test_counts_worked_by_hand() -> None:
    gold = [spans_of(["B-PER", "I-PER", "O", "B-LOC"]), spans_of(["B-ORG", "O"]), []]
    found = [spans_of(["B-PER", "O", "O", "B-LOC"]), spans_of(["B-LOC", "O"]), spans_of(["B-PER"])]
    overall, by_type = count_spans(gold, found)
    assert overall == SpanCounts(gold=3, found=4, right=1)  # bounds wrong, type wrong, one too many
    assert (overall.precision, overall.recall, overall.f1) == pytest.approx((1 / 4, 1 / 3, 2 / 7))
    assert by_type == {
        "LOC": SpanCounts(gold=1, found=2, right=1),
        "ORG": SpanCounts(gold=1, found=0, right=0),
        "PER": SpanCounts(gold=1, found=2, right=0),
    }


def test_no_spans_at_all_score_zero() -> None:
    overall, by_type = count_spans([[], []], [[], []])
    assert (overall.precision, overall.recall, overall.f1, by_type) == (0.0, 0.0, 0.0, {})


def test_a_perfect_answer_scores_one() -> None:
    rows = [[("PER", 0, 2)], [("LOC", 1, 2), ("PER", 3, 4)]]
    assert count_spans(rows, rows)[0].f1 == 1.0
