"""Findings about examples, on small made data and on SST-2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertsmith.tables import Finding, Table, check_examples, read
from bertsmith.tables.checks import check_labels


def by_kind(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def one(*texts: str) -> list[tuple[str, ...]]:
    """Examples of one text."""
    return [(text,) for text in texts]


named = one  # or of one label


def test_clean_examples_give_label_counts_alone() -> None:
    findings = check_examples(one(*"abcdefghijklmnop"), named("x", "y") * 8, eval_texts=one("z"), cut=[0] * 16)
    assert [finding.kind for finding in findings] == ["labels"]
    assert findings[0].message == "2 labels: x 8, y 8"


def test_duplicates_conflicts_and_overlap_ignore_spacing() -> None:
    found = by_kind(
        check_examples(
            one("a b", "c", "a  b ", "c", "d"), named("x", "y", "x", "x", "y"), eval_texts=one("q", "d", "A B", "a b")
        )
    )
    assert (found["duplicates"].count, found["duplicates"].rows) == (2, (2, 3))
    assert (found["conflicts"].count, found["conflicts"].rows) == (1, (3,))
    assert "(row 2 is y, row 4 is x)" in found["conflicts"].message
    assert (found["overlap"].count, found["overlap"].rows) == (2, (1, 3))
    assert found["overlap"].level == "warning"


def test_pairs_are_compared_as_pairs() -> None:
    found = by_kind(check_examples([("a", "b"), ("b", "a"), ("a", "c"), ("a", "b")]))
    assert found["duplicates"].rows == (3,)


def test_one_class_imbalance_and_rare_labels() -> None:
    assert by_kind(check_labels(named("x") * 5))["one-class"].level == "warning"
    found = by_kind(check_labels(named("x") * 100 + named("y") * 10 + named("z")))
    assert "100 times" in found["imbalance"].message
    assert found["rare"].message == "1 label with fewer than 8 examples: z 1"
    assert "imbalance" not in by_kind(check_labels(named("x") * 99 + named("y") * 10))


def test_many_labels_are_counted_one_by_one() -> None:
    """Not by the sets they come in."""
    found = by_kind(check_labels([("x", "y"), ("y",), (), ("y", "x"), ("z", "y", "x")]))
    assert found["labels"].message == "3 labels: y 4, x 3, z 1"
    assert "one-class" not in by_kind(check_labels([("x",), (), ("x",)]))  # it holds or not
    twice = by_kind(check_examples(one("a", "a", "a"), [("x", "y"), ("y", "x"), ()]))
    assert twice["conflicts"].rows == (2,)
    assert "(row 1 is x and y, row 3 is without a label)" in twice["conflicts"].message


def test_findings_name_the_places_that_rows_came_from() -> None:
    train = Table.from_rows([{"text": text} for text in "abcdaf"], "train.parquet").select([1, 3, 0, 5, 4])
    dev = Table("dev.tsv", {"text": ["f", ""]}, [2, 4])
    found = {
        finding.kind: finding.message
        for finding in check_examples(
            one(*train.column("text")),
            named("x", "x", "x", "x", "y"),
            where=train.where,
            eval_texts=one(*dev.column("text")),
            eval_where=dev.where,
        )
    }
    assert "(train.parquet, row 5 repeats row 1)" in found["duplicates"]
    assert "(train.parquet, row 1 is x, row 5 is y)" in found["conflicts"]
    assert "(the first is dev.tsv, line 2)" in found["overlap"]
    assert "(the first is dev.tsv, line 4)" in found["empty"]


def test_without_labels_there_are_no_label_counts() -> None:
    assert check_examples(one("a", "b")) == []


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
    found = by_kind(check_examples(one(*texts), named(*table.column("label")), where=table.where))
    different = len({" ".join(text.split()) for text in texts})
    assert found["duplicates"].count == len(texts) - different
    assert found["labels"].message == "2 labels: 1 37,569, 0 29,780"
