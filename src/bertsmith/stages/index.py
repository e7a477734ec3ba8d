"""index: texts -> an index that can be searched; or changes to one.

The recipe: open the model, stream the texts through it into a new part of the index, and put the change in place.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from rich.console import Console

from bertsmith.checkpoint import hold_folder
from bertsmith.embedding.index import Index
from bertsmith.embedding.index_files import Manifest, holds_index, remove_abandoned
from bertsmith.embedding.index_writing import IndexWriter
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import DataError, OutputError, SettingsError, count
from bertsmith.report.bar import Bar
from bertsmith.report.words import format_duration, format_number
from bertsmith.serving.searcher import check_model, embedder_of
from bertsmith.stages.embed import counted
from bertsmith.stages.embedding_options import EmbedderOptions, tell_news
from bertsmith.stages.opened import tell
from bertsmith.stages.text_rows import Row, TextColumns, TextSource
from bertsmith.tasks.retrieval import unit

Block = tuple[NDArray[np.float32], Sequence[str | None], Sequence[str]]


@dataclass(frozen=True)
class IndexSettings:
    """Options of `index`."""

    out: str
    """Folder of the index."""
    input: TextSource | None = None
    """File of texts: a text a line, CSV, TSV, JSONL, Parquet, packed or not; or pydocs. A column id names them."""
    model: str | None = None
    """Folder of a model for sentences, or of any encoder, or a name on the hub; starter, or that of the index with
    --add, unless given."""
    add: Annotated[bool, Parameter(negative=())] = False
    """Add the texts to the index in --out; one whose id is there takes the place of the earlier text."""
    delete: Annotated[tuple[str, ...], Parameter(negative=(), metavar="ID")] = ()
    """Delete the text of this id; again for more."""
    overwrite: Annotated[bool, Parameter(negative=())] = False
    """Put a new index in the place of the one in --out."""
    file: Annotated[TextColumns, Parameter(name="*", group="Columns")] = field(default_factory=TextColumns)
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.input is None and not self.delete:
            raise SettingsError("nothing to do; give --input FILE, or --delete ID")
        if self.add and self.overwrite:
            raise SettingsError("--add and --overwrite contradict each other; give one of them")
        if self.delete and self.overwrite:
            raise SettingsError("--delete and --overwrite contradict each other; give one of them")


def index(settings: IndexSettings, *, console: Console | None = None) -> Index:
    """Make an index, add to it, or delete from it. Returns it as it is then."""
    console = console or Console(stderr=True)
    folder = Path(settings.out)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    with hold_folder(folder):
        check_folder(folder, settings)
        if settings.input is None:
            writer = IndexWriter(folder, Index(folder).manifest)
            deleted, added = writer.delete(settings.delete), 0
        else:
            rows = settings.file.rows(settings.input, counts)
            embedder = embedder_for(folder, settings)
            tell_news(embedder, console)
            writer = IndexWriter(folder, manifest_of(embedder, settings), replacing=settings.overwrite)
            if writer.earlier is not None:
                check_model(writer.earlier, embedder)
            deleted = writer.delete(settings.delete)
            try:
                with Bar("indexing", ("speed",), console=console) as bar:
                    added = writer.add(told(blocks_of(embedder, rows, counts), bar))
            except BaseException:
                remove_abandoned(folder)
                raise
        writer.commit()
        made = Index(folder)
    tell(+counts, console)
    changes = [count(added, "text") + " added"] * bool(added) + [count(deleted, "text") + " deleted"] * bool(deleted)
    changes += [count(writer.replaced, "text") + " replaced"] * bool(writer.replaced)
    console.print(
        f"{', '.join(changes)}; {count(len(made), 'text')} in {folder} ({format_duration(time.monotonic() - began)})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return made


def check_folder(folder: Path, settings: IndexSettings) -> None:
    """Raise `OutputError` for an index that would be replaced unasked, `DataError` where there is none to change."""
    exists = holds_index(folder)
    if exists and settings.input is not None and not (settings.add or settings.overwrite):
        raise OutputError(f"{folder}: holds an index; give --add to add to it, or --overwrite to replace it")
    if not exists and (settings.add or settings.delete):
        raise DataError(f"{folder}: holds no index to change; make one first, without --add and --delete")


def embedder_for(folder: Path, settings: IndexSettings) -> Embedder:
    """The model of the index that is added to, as it was opened then; for a new index that of the settings."""
    how = asdict(settings.how)
    return (
        embedder_of(Index(folder), settings.model, **how) if settings.add else Embedder.open(name_of(settings), **how)
    )


def name_of(settings: IndexSettings) -> str:
    """The name of the model of a new index."""
    return settings.model or "starter"


def manifest_of(embedder: Embedder, settings: IndexSettings) -> Manifest:
    """What a new index knows of the model of its vectors: enough to open it again for the queries."""
    how = settings.how
    model = {
        "name": _absolute(name_of(settings)),
        "pooling": how.pooling,
        "dimensions": how.dimensions,
        "prompt": how.prompt,
        "max_length": how.max_length,
    }
    return Manifest(model, embedder.fingerprint, embedder.width)


def blocks_of(embedder: Embedder, rows: Iterator[Row], counts: Counter[str]) -> Iterator[Block]:
    """Vectors, ids and texts, chunk by chunk."""
    waiting: list[Row] = []

    def texts() -> Iterator[str]:
        for row in rows:
            waiting.append(row)
            yield row.text

    for chunk in counted(embedder.stream(texts()), embedder, counts):
        done, waiting[:] = waiting[: len(chunk.vectors)], waiting[len(chunk.vectors) :]
        ids = [None if row.id is None else str(row.id) for row in done]
        yield unit(chunk.vectors), ids, [row.text for row in done]


def told(blocks: Iterator[Block], bar: Bar) -> Iterator[Block]:
    """The blocks, each told of as it passes."""
    number = 0
    for block in blocks:
        number += len(block[2])
        facts = {"texts": f"{number:,} texts", "speed": f"{format_number(number / max(bar.elapsed, 1e-9))} texts/s"}
        bar.show(None, facts)
        yield block


def _absolute(model: str) -> str:
    """A folder's name that means the same elsewhere; a hub's name as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() and model != "starter" else model
