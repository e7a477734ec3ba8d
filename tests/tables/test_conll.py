"""CoNLL columns, detected and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.errors import DataError
from bertsmith.tables import read
from bertsmith.tables.conll import looks_like_conll, parse_conll

TWO = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n"


def test_two_three_and_four_columns() -> None:
    table = parse_conll(TWO, "x")
    assert table.columns == {"words": [["EU", "rejects"], ["Peter"]], "tags": [["B-ORG", "O"], ["B-PER"]]}
    assert table.lines == [1, 4]
    assert parse_conll("a NN O\n", "x").names == ["words", "pos", "tags"]
    assert parse_conll("a NN I-NP O\n", "x").names == ["words", "pos", "chunk", "entity"]


def test_document_starts_and_runs_of_empty_lines_make_no_sentences() -> None:
    text = "-DOCSTART- -X- O O\n\n\nEU NNP I-NP I-ORG\n \n\n-DOCSTART- -X- O O\n\nPeter NNP I-NP I-PER"
    table = parse_conll(text, "x")
    assert table.column("words") == [["EU"], ["Peter"]]
    assert table.lines == [4, 9]


def test_names_given() -> None:
    table = parse_conll("1 EU x y z B-ORG\n", "x", ["_", "words", "_", "_", "_", "tags"])
    assert table.columns == {"words": [["EU"]], "tags": [["B-ORG"]]}
    with pytest.raises(DataError, match="x, line 1: 6 columns, and usual names"):
        parse_conll("1 EU x y z B-ORG\n", "x")


def test_ragged_lines_are_named() -> None:
    with pytest.raises(DataError, match="x, line 2: 1 columns where 2"):
        parse_conll("EU B-ORG\nrejects\n", "x")


def test_detection(tmp_path: Path) -> None:
    assert looks_like_conll(TWO)
    assert looks_like_conll("-DOCSTART- -X- O O\n")
    assert not looks_like_conll("text\tlabel\na\tO\n\nb\tO\n")  # a header whose last name is no tag
    assert not looks_like_conll("it is O\nso is O\n")  # no empty line between
    path = tmp_path / "x.tsv"
    path.write_text(TWO)
    assert read(path).names == ["words", "tags"]


def test_only_document_starts() -> None:
    with pytest.raises(DataError, match="no sentences"):
        parse_conll("-DOCSTART- -X- O O\n\n", "x")
