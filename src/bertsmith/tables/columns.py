"""Which column of a table plays which part.

Enters: a table, the name a user gave (or none), and the usual names of a part. Leaves: the name of a column that is
there. The usual names belong to the tasks, which pass them.
"""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.errors import DataError, nearest
from bertsmith.tables.table import Table


def find_column(table: Table, given: str | None, usual: Sequence[str], role: str, option: str) -> str:
    """The name of the column that plays ``role``; `look_for_column` with an error in place of None.

    given:  the name the user gave, or None to look for the ``usual`` names, the first of which wins
    role:   what the column holds, for the message: "text", "second text", "label"
    option: the option that names it: "--text", "--label"
    """
    found = look_for_column(table, given, usual, option)
    if found is not None:
        return found
    looked_for = ", ".join(usual)
    message = f"{table.path}: no {role} column: looked for {looked_for} among {_shown(table.names)}"
    way_out = f"name it with {option}"
    if _looks_like_data(table):
        way_out = (
            f"if these are not names but the first line of data, name its {len(table.names)} fields in order: "
            f"--columns {usual[0]},... (_ leaves one out)"
        )
    raise DataError(f"{message}; {way_out}")


def look_for_column(table: Table, given: str | None, usual: Sequence[str], option: str) -> str | None:
    """As `find_column`, but None where no name is given and none of the usual ones is there: for columns that a table
    need not have. A name is matched exactly first, then without regard to case; a given name that is not there is an
    error all the same."""
    for name in usual if given is None else [given]:
        if name in table.columns:
            return name
    folded: dict[str, str] = {}
    for name in table.names:
        folded.setdefault(name.strip().casefold(), name)
    for name in usual if given is None else [given]:
        if name.strip().casefold() in folded:
            return folded[name.strip().casefold()]
    if given is None:
        return None
    raise DataError(
        f"{table.path}: {option} names {given!r}, and the columns are {_shown(table.names)}; "
        f"{nearest(given, table.names)}"
    )


def _shown(names: Sequence[str], most: int = 12, width: int = 30) -> str:
    shown = [repr(name if len(name) <= width else name[: width - 3] + "...") for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def _looks_like_data(table: Table) -> bool:
    """Whether the header is more likely a first row of data: a name that is a number, a whole sentence, or missing."""

    def unlikely(name: str) -> bool:
        return len(name) > 40 or len(name.split()) > 4 or name.replace(".", "", 1).lstrip("-").isdigit()

    return any(unlikely(name) for name in table.names)
