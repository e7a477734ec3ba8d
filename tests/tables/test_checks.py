"""Findings about examples, on small made data and on SST-2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertsmith.tables import Finding, check_examples, read
from bertsmith.tables.checks import check_labels


def by_kind(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def one(*texts: str) -> list[tuple[str, ...]]:
    return [(text,) for text in texts]


def test_clean_examples_give_label_counts_alone() -> None:
    findings = check_examples(one(*"abcdefghijklmnop"), ["x", "y"] * 8, eval_texts=one("z"), cut=[0] * 16)
    assert [finding.kind for finding in findings] == ["labels"]
    assert findings[0].message == "2 labels: x 8, y 8"


def test_duplicates_conflicts_and_overlap_ignore_spacing() -> None:
    found = by_kind(
        check_examples(
            one("a b", "c", "a  b ", "c", "d"), ["x", "y", "x", "x", "y"], eval_texts=one("q", "d", "A B", "a b")
        )
    )
    assert (found["duplicates"].count, found["duplicates"].rows) == (2, (2, 3))
    assert (found["conflicts"].count, found["conflicts"].rows) == (1, (3,))
    assert "row 2 is y, row 4 is x" in found["conflicts"].message
    assert (found["overlap"].count, found["overlap"].rows) == (2, (1, 3))
    assert found["overlap"].level == "warning"


def test_pairs_are_compared_as_pairs() -> None:
    found = by_kind(check_examples([("a", "b"), ("b", "a"), ("a", "c"), ("a", "b")]))
    assert found["duplicates"].rows == (3,)


def test_one_class_imbalance_and_rare_labels() -> None:
    assert by_kind(check_labels(["x"] * 5))["one-class"].level == "warning"
    found = by_kind(check_labels(["x"] * 100 + ["y"] * 10 + ["z"]))
    assert "100 times" in found["imbalance"].message
    assert found["rare"].message == "1 labels with fewer than 8 examples: z 1"
    assert "imbalance" not in by_kind(check_labels(["x"] * 99 + ["y"] * 10))


def test_scores_have_no_label_counts() -> None:
    assert check_examples(one("a", "b"), [0.5, 1.0]) == []
    assert by_kind(check_examples(one("a", "b"), [0, 1]))["labels"].count == 2


def test_empty_texts_on_both_sides() -> None:
    findings = check_examples([("a", " \n"), ("b", "c")], eval_texts=[("", "x")])
    assert [(finding.kind, finding.rows) for finding in findings] == [("empty", (0,)), ("empty", (0,))]


def test_truncation_counts_examples_and_tokens() -> None:
    finding = by_kind(check_examples(one("a", "b", "c"), cut=[0, 3, 4], max_length=64))["truncated"]
    assert finding.level == "warning"
    assert finding.message.startswith("2 of 3 (66.7 %) training examples are cut to 64 tokens, 7 tokens in all")


def test_sst2_duplicates_agree_with_counting(shared_data: Callable[[str], Path]) -> None:
    table = read(shared_data("sst2/train.tsv"))
    texts = table.column("sentence")
    found = by_kind(check_examples(one(*texts), table.column("label")))
    different = len({" ".join(text.split()) for text in texts})
    assert found["duplicates"].count == len(texts) - different
    assert found["labels"].message == "2 labels: 1 37,569, 0 29,780"
