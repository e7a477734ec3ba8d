"""How help looks: a flag once, defaults that say something, no boxes wider than their words."""

from __future__ import annotations

from typing import Any

from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, HelpEntry
from rich.console import Console, ConsoleOptions

_NAMES = 28  # signs for the names of options


def formatter() -> DefaultFormatter:
    """The formatter of every page of help."""
    return DefaultFormatter(column_specs=_columns)


def show_default(value: Any) -> str | None:
    """A default as help tells it; none for what is off, empty or absent."""
    if value is None or value is False or value == "" or value == ():
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(console: Console, options: ConsoleOptions, entries: list[HelpEntry]) -> tuple[ColumnSpec, ...]:
    return (
        ColumnSpec(renderer=_name, style="cyclopts.name", min_width=_NAMES, no_wrap=True),
        ColumnSpec(renderer=DescriptionRenderer(), overflow="fold"),
    )


def _name(entry: HelpEntry) -> str:
    """``--lr FLOAT``, without the ``--no-`` of every flag, and without the names that other software has for it."""
    names = [*entry.positive_names[:1], *entry.positive_shorts]
    return " ".join([*names, *([entry.metavar] if entry.metavar else [])])
