"""search: a question and an index -> the texts nearest to it.

The recipe: open the index and the model it was made with, find the nearest texts, maybe have a cross-encoder read the
best of them, and show them.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertsmith.embedding.index import Hit
from bertsmith.errors import SettingsError, count
from bertsmith.files import dump_json
from bertsmith.report.words import clip_text
from bertsmith.serving.searcher import Searcher
from bertsmith.stages.embedding_options import EmbedderOptions, tell_news
from bertsmith.stages.options import Words


@dataclass(frozen=True)
class SearchSettings:
    """Options of `search`."""

    index: str
    """Folder of the index."""
    query: Words
    """What to look for; again for more queries."""
    top: int = 10
    """Texts to show for each query."""
    rerank: str | None = None
    """Model of the task rerank: it reads each query with the best texts, and orders them anew."""
    model: str | None = None
    """Where the model of the index is, if no longer where it was."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print JSON lines on a terminal as well, one for each query."""
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise SettingsError(f"--top is {self.top}; it must be 1 or more")
        if not all(query.strip() for query in self.query):
            raise SettingsError("--query is blank; say what to look for")


def search(settings: SearchSettings, *, console: Console | None = None) -> list[list[Hit]]:
    """Show the texts nearest to each query, and return them."""
    console = console or Console(stderr=True)
    searcher = Searcher.open(settings.index, model=settings.model, rerank=settings.rerank, **asdict(settings.how))
    tell_news(searcher.embedder, console)
    if settings.top > len(searcher.index):
        console.print(
            f"note: the index has {count(len(searcher.index), 'text')}; all of them are ranked", highlight=False
        )
    found = searcher.search(settings.query, settings.top)
    if settings.json or not sys.stdout.isatty():
        for query, hits in zip(settings.query, found, strict=True):
            print(dump_json({"query": query, "hits": [asdict(hit) for hit in hits]}))
    else:
        for query, hits in zip(settings.query, found, strict=True):
            show_hits(query, hits)
    return found


def show_hits(query: str, hits: list[Hit]) -> None:
    """A table for a person."""
    table = Table(title=Text(clip_text(query, 200), style="italic"), title_justify="left", box=box.SIMPLE_HEAD)
    columns: list[dict[str, Any]] = [
        {"header": "score", "justify": "right"},
        {"header": "id", "style": "dim", "overflow": "fold"},
        {"header": "text"},
    ]
    for column in columns:
        table.add_column(**column)
    for hit in hits:
        table.add_row(f"{hit.score:.3f}", Text(clip_text(hit.id, 24)), Text(clip_text(hit.text, 300)))
    Console().print(table)
