"""Rows that a program holds, in whatever form, as a table.

Enters: dicts, a DataFrame of pandas or polars, or anything to iterate over. Leaves: lists of plain values, and a
`Table`. Imports no library of data frames: it knows them by their methods.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bertsmith.tables.table import Table

# A path or an ``hf://`` address, a table, rows as mappings, or a DataFrame.
Data = str | os.PathLike[str] | Table | Iterable[Mapping[str, Any]]


def path_or_table(data: Data, name: str) -> str | Table:
    """A path or an address as text; whatever holds rows as a table, which messages call ``name``."""
    if isinstance(data, Table):
        return data
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    return Table.from_rows(rows_of(data), path=f"{name} (rows in memory)")


def rows_of(data: Any) -> list[Any]:
    """The items of anything to iterate over; of a DataFrame its rows as dicts, with None for what is missing."""
    if hasattr(data, "to_dicts"):  # polars
        return list(data.to_dicts())
    if hasattr(data, "to_dict") and hasattr(data, "notna") and hasattr(data, "columns"):  # pandas, not a series of it
        return [_without_arrays(row) for row in data.astype(object).where(data.notna(), None).to_dict("records")]
    return list(data)


def _without_arrays(value: Any) -> Any:
    """A value with lists for the arrays in it, which pandas has where a file has lists."""
    if isinstance(value, np.ndarray):
        return [_without_arrays(one) for one in value.tolist()]
    if isinstance(value, Mapping):
        return {name: _without_arrays(one) for name, one in value.items()}
    return value
