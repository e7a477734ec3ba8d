"""Questions with endings, and what a user can get wrong in them."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table
from bertsmith.tasks import Choose, Columns
from bertsmith.tasks.choices import Choices, ending_index, read_choices

TWO = {"prompt": "the cat", "endings": ["sat", "ran in the park"], "label": 0}
THREE = {"prompt": "a dog", "endings": ["ran", "sat on the mat", "is good"], "label": "2"}


def questions(rows: list[dict[str, Any]]) -> Choices:
    return read_choices(Table.from_rows(rows, "choice.jsonl"), Columns(), labelled=True)


@pytest.mark.parametrize(("label", "index"), [(0, 0), ("3", 3), (2.0, 2), ("1.0", 1), ("A", 0), ("d", 3), (" B ", 1)])
def test_a_label_is_an_index_or_a_letter(label: Any, index: int) -> None:
    assert ending_index(label, 4, "") == index


@pytest.mark.parametrize("label", ["C", "c", "AB", "", "²", float("nan"), "inf", [0]])
def test_a_label_that_is_neither_is_named(label: Any) -> None:
    message = r"^a.tsv, line 2: the label is .*, but there are 2 endings; give .* from 0 to 1, or .* from A to B$"
    with pytest.raises(DataError, match=message):
        ending_index(label, 2, "a.tsv, line 2")


def test_empty_last_columns_mean_fewer_endings() -> None:
    rows = [
        {"prompt": "a", "ending0": "x", "ending1": "y", "ending2": "z", "label": 2},
        {"prompt": "a", "ending0": "x", "ending1": "y", "ending2": "", "label": 0},
        {"prompt": "a", "ending0": "x", "ending1": "y", "ending2": None, "label": 0},
        {"prompt": "a", "ending0": "x", "ending1": "y", "ending2": float("nan"), "label": 0},
    ]
    assert [len(one) for one in questions(rows).endings] == [3, 2, 2, 2]


@pytest.mark.parametrize("label", [2, -1, "x", None, "1.5", 1.5])
def test_a_label_out_of_range_is_named(label: Any) -> None:
    rows = [THREE, TWO | {"label": label}]
    with pytest.raises(DataError, match=r"choice.jsonl, row 2: the label is .* there are 2 endings; .* from 0 to 1"):
        Choose.learn(questions(rows))


@pytest.mark.parametrize(
    ("endings", "message"),
    [
        (["only"], r"row 1: 1 ending; a choice needs two or more"),
        ([], "row 1: 0 ending"),
        (["a", "", "b"], "row 1: an empty ending stands before others"),
        ("ab", "row 1: the endings are 'ab'; give a list"),
    ],
)
def test_endings_that_are_no_choice_are_named(endings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        questions([{"prompt": "a", "endings": endings, "label": 0}])


def test_endings_that_are_nowhere_are_named() -> None:
    with pytest.raises(DataError, match="no endings column"):
        questions([{"prompt": "a", "label": 0}])
