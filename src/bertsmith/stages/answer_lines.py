"""Answers as JSON lines, and the file they go to.

Enters: answers and the table they answer. Leaves: text, one JSON object a line, in the order of the rows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith.errors import OutputError
from bertsmith.files import dump_json
from bertsmith.tables import Table
from bertsmith.tasks import Answer


def ids_of(table: Table) -> list[Any] | None:
    """The values of the column ``id``, which answers carry on, if there is one."""
    return table.columns.get("id")


def json_lines(answers: Sequence[Answer], ids: Sequence[Any] | None = None) -> str:
    """One JSON object a line, each with its row's id if rows have any."""
    told = answers if ids is None else [{"id": one, **answer} for one, answer in zip(ids, answers, strict=True)]
    return "".join(dump_json(answer) + "\n" for answer in told)


def check_output(path: str) -> None:
    """Raise `OutputError` for a place that can hold no file, before any work is done for it."""
    place = Path(path)
    if place.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    parent = next(one for one in place.absolute().parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written, {parent} is not a folder open to you; name another place")
