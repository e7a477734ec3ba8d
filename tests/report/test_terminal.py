from __future__ import annotations

import io

import numpy as np
from rich.console import Console
from rich.table import Table

from bertsmith.report.record import Split
from bertsmith.report.terminal import tabulate_scores, tabulate_splits


def shown(table: Table) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(table)
    return [line.split() for line in out.getvalue().splitlines() if line.strip() and "─" not in line]


def test_scores() -> None:
    assert shown(tabulate_scores({"mcc": 0.3456, "exact_match": 81.2}, metric="mcc")) == [
        ["score", "value"],
        ["MCC", "0.346"],
        ["exact", "match", "81.20"],
    ]


def test_a_label_that_looks_like_markup_is_a_label() -> None:
    split = Split("train", 3, np.array([5]), 0, {"[red]x[/red]": 2, "a\x1b[31m\nb": 1})
    assert " ".join(shown(tabulate_splits([split]))[1]).endswith("[red]x[/red] 2, a\ufffd[31m b 1")


def test_splits() -> None:
    labels = {"yes": 2, "no": 1}
    train = Split("train", 3, np.array([5, 6, 7]), 1, labels)
    assert shown(tabulate_splits([train]))[1] == ["train", "3", "18", "7", "33.3%", "yes", "2,", "no", "1"]
    plain = Split("eval", 0, np.array([], np.int64))
    assert shown(tabulate_splits([plain])) == [
        ["split", "examples", "tokens", "longest", "cut"],
        ["eval", "0", "0", "0", "0%"],
    ]
