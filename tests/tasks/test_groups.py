"""Groups of texts: which columns make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table
from bertsmith.tasks import Columns
from bertsmith.tasks.groups import groups_of_inputs, numbers_of, read_groups


def table(**columns: list[Any]) -> Table:
    return Table("f.tsv", columns, lines=list(range(2, 2 + len(next(iter(columns.values()))))))


@pytest.mark.parametrize(
    ("columns", "texts", "labels"),
    [
        ({"sentence": ["a", "b"]}, [["a", "b"]], None),
        ({"sentence1": ["a"], "sentence2": ["b"]}, [["a"], ["b"]], None),
        ({"sentence1": ["a"], "sentence2": ["b"], "score": [3.5]}, [["a"], ["b"]], [3.5]),
        ({"premise": ["a"], "hypothesis": ["b"], "label": ["neutral"]}, [["a"], ["b"]], ["neutral"]),
        ({"anchor": ["a"], "positive": ["b"]}, [["a"], ["b"]], None),
        ({"query": ["a"], "positive": ["b"], "negative": ["c"]}, [["a"], ["b"], ["c"]], None),
        ({"anchor": ["a"], "pos": ["b"], "neg_1": ["c"], "neg_2": ["d"]}, [["a"], ["b"], ["c"], ["d"]], None),
        ({"question": ["a"], "answer": ["b"], "id": ["7"]}, [["a"], ["b"]], None),
        ({"sentence": ["a"], "label": ["1"]}, [["a"]], None),
    ],
)  # fmt: skip
def test_columns_are_found_by_their_usual_names(
    columns: dict[str, list[Any]], texts: list[list[str]], labels: list[Any] | None
) -> None:
    groups = read_groups(table(**columns), Columns(), labelled=True)
    assert groups.texts == texts
    assert groups.labels == labels
    assert groups.where(0) == "f.tsv, line 2"


def test_named_columns_win() -> None:
    rows = table(anchor=["a"], positive=["b"], other=["c"])
    assert read_groups(rows, Columns(text="other"), labelled=True).texts == [["c"]]
    assert read_groups(rows, Columns(text="other", text_pair="anchor"), labelled=True).texts == [["c"], ["a"]]


def test_a_missing_text_is_named() -> None:
    with pytest.raises(DataError, match=r"f.tsv, line 3: no text in column 'positive'; give a text"):
        read_groups(table(anchor=["a", "b"], positive=["c", None]), Columns(), labelled=True)


def test_inputs_of_a_person() -> None:
    assert groups_of_inputs(["a", "b"]).texts == [["a", "b"]]
    assert groups_of_inputs([("a", "b")]).texts == [["a"], ["b"]]


def test_groups_of_one_first_text_stay_together() -> None:
    assert read_groups(table(query=["a", "a"], positive=["b", "c"]), Columns(), labelled=True).groups == ["a", "a"]
    assert read_groups(table(text=["a", "a"]), Columns(), labelled=True).groups is None


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [([1, "2.5", 3.0], [1, 2.5, 3]), ([1, "x"], None), ([1, None], None), ([float("inf")], None), ([], [])],
)
def test_labels_as_numbers(labels: list[Any], numbers: list[float] | None) -> None:
    found = numbers_of(labels)
    assert (None if found is None else found.tolist()) == numbers
    assert found is None or found.dtype == np.float32
