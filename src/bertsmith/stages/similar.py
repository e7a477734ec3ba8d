"""similar: texts -> the pairs of them that are most alike.

The recipe: turn the texts into vectors, compare all pairs, and show the nearest.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertsmith.embedding.neighbours import Pair, nearest_pairs
from bertsmith.errors import DataError, SettingsError
from bertsmith.files import dump_json
from bertsmith.report.words import clip_text
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.opened import tell
from bertsmith.stages.text_rows import Row, TextColumns, TextSource, name_of
from bertsmith.tasks.retrieval import unit


@dataclass(frozen=True)
class SimilarSettings:
    """Options of `similar`."""

    input: TextSource
    """File of texts: a text a line, CSV, TSV, JSONL, Parquet, packed or not; or pydocs."""
    model: str = "starter"
    """Folder of a model for sentences, or of any encoder; starter; or a name on the hub."""
    top: int = 20
    """Pairs to show."""
    least: float = -1.0
    """Only pairs whose cosine is at least this."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print JSON lines on a terminal as well, one for each pair."""
    file: Annotated[TextColumns, Parameter(name="*", group="Columns")] = field(default_factory=TextColumns)
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise SettingsError(f"--top is {self.top}; it must be 1 or more")
        check_cosine("--least", self.least)


def check_cosine(flag: str, value: float) -> None:
    """Raise `SettingsError` for what is no cosine."""
    if not -1 <= value <= 1:
        raise SettingsError(f"{flag} is {value:g}; cosines are from -1 to 1")


def similar(settings: SimilarSettings, *, console: Console | None = None) -> list[Pair]:
    """Show the most similar pairs of texts, and return them as numbers of rows, from 0."""
    rows, pairs = most_similar(settings, console)
    if settings.json or not sys.stdout.isatty():
        for pair in pairs:
            told = {"cosine": pair.cosine, "rows": [pair.first + 1, pair.second + 1]}
            print(dump_json({**told, "texts": [rows[pair.first].text, rows[pair.second].text]}))
        return pairs
    table = Table("cosine", "rows", "texts", box=box.SIMPLE_HEAD)
    for pair in pairs:
        texts = [clip_text(rows[row].text, 200) for row in (pair.first, pair.second)]
        table.add_row(f"{pair.cosine:.3f}", f"{pair.first + 1}\n{pair.second + 1}", Text("\n".join(texts)))
    Console().print(table)
    return pairs


def most_similar(settings: SimilarSettings, console: Console | None) -> tuple[list[Row], list[Pair]]:
    """All rows, and the nearest pairs of them, best first."""
    console = console or Console(stderr=True)
    rows, vectors = embedded_rows(settings.input, settings.file, settings.how, settings.model, console)
    if len(rows) < 2:
        raise DataError(f"{name_of(settings.input)}: one text alone; give two or more to compare")
    return rows, nearest_pairs(vectors, settings.top, least=settings.least)


def embedded_rows(
    source: TextSource, file: TextColumns, how: EmbedderOptions, model: str, console: Console
) -> tuple[list[Row], NDArray[np.float32]]:
    """All rows of a file or table with their vectors of length 1, (S, E); what is odd about them is told."""
    counts: Counter[str] = Counter()
    rows = list(file.rows(source, counts))
    vectors = unit(how.open(model, console).embed([row.text for row in rows]))
    tell(+counts, console)
    return rows, vectors
