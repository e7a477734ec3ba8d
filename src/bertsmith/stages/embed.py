"""embed: texts -> vectors.

The recipe: open the model, stream the texts through it, write the vectors as they come, tell how fast it went.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from bertsmith.embedding.vector_file import VectorFile
from bertsmith.engine.embedder import Embedded, Embedder, chunks_of
from bertsmith.errors import SettingsError, count
from bertsmith.files import dump_json
from bertsmith.report.bar import Bar
from bertsmith.report.words import format_number
from bertsmith.stages.answer_lines import check_output
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.opened import tell
from bertsmith.stages.options import Words
from bertsmith.stages.text_rows import TextColumns


@dataclass(frozen=True)
class EmbedSettings:
    """Options of `embed`."""

    model: str = "starter"
    """Folder of a model for sentences, or of any encoder; starter; or a name on the hub."""
    input: str | None = None
    """File of texts: a text a line, CSV, TSV, JSONL, Parquet, packed or not; or pydocs."""
    text: Words = ()
    """A text, in place of --input; again for more texts. With --input, the column of the texts."""
    columns: str | None = None
    """Names of the columns of an --input without a header: id,text (_ leaves one out, a last ... the rest)."""
    out: str | None = None
    """File for the vectors, .npy: float32, one row a text. Without one they are printed, a JSON list a line."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print one JSON object at the end: seconds, sentences, tokens, engine, precision."""
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.input is None and not self.text:
            raise SettingsError("no texts; give --input FILE, or --text for each of them")
        if self.input is not None and len(self.text) > 1:
            raise SettingsError("with --input, --text names the column of the texts; give it once")
        if self.out is not None and not self.out.endswith(".npy"):
            raise SettingsError(f"--out {self.out}: vectors are written as .npy; name a file that ends so")
        if self.json and self.out is None:
            raise SettingsError("--json tells of vectors that are written; name their file with --out")


@dataclass
class Speed:
    """What was computed, and how long it took from text in memory to vectors in memory."""

    seconds: float = 0.0
    sentences: int = 0
    tokens: int = 0

    def count(self, chunk: Embedded) -> None:
        """Add a chunk."""
        self.sentences += len(chunk.vectors)
        self.tokens += int(chunk.lengths.sum())


def embed(settings: EmbedSettings, *, console: Console | None = None) -> dict[str, Any]:
    """Turn texts into vectors. Returns what ``--json`` prints."""
    console = console or Console(stderr=True)
    if settings.out is not None:
        check_output(settings.out)
    counts: Counter[str] = Counter()
    texts = texts_of(settings, counts)
    embedder = settings.how.open(settings.model, console)
    first = next(chunks_of(texts), [])
    embedder.prepare(first)
    texts = chain(first, texts)
    speed = Speed()
    chunks = counted(timed(embedder, texts, speed), embedder, counts)
    if settings.out is None:
        for chunk in chunks:
            sys.stdout.write("".join(dump_json(vector) + "\n" for vector in chunk.vectors.tolist()))
    else:
        with VectorFile(settings.out, embedder.width) as file, Bar("embedding", ("tokens",), console=console) as bar:
            for chunk in chunks:
                file.write(chunk.vectors)
                pace = f"{format_number(speed.tokens / speed.seconds)} tokens/s"
                bar.show(None, {"texts": f"{speed.sentences:,} texts", "tokens": pace})
    tell(+counts, console)
    told = {
        "seconds": round(speed.seconds, 3),
        "sentences": speed.sentences,
        "tokens": speed.tokens,
        "dimensions": embedder.width,
        "engine": embedder.engine.name,
        "precision": embedder.precision,
    }
    if settings.json:
        print(dump_json(told))
    if settings.out is not None:
        console.print(
            f"{count(speed.sentences, 'vector')} of {embedder.width} numbers in {settings.out} ({speed.seconds:.1f} s, "
            f"{embedder.engine.name}, {embedder.precision})",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return told


def texts_of(settings: EmbedSettings, counts: Counter[str]) -> Iterator[str]:
    """The texts of the command line, or of the file as they are asked for."""
    if settings.input is None:
        return iter(settings.text)
    file = TextColumns(next(iter(settings.text), None), settings.columns)
    return (row.text for row in file.rows(settings.input, counts))


def counted(chunks: Iterator[Embedded], embedder: Embedder, counts: Counter[str]) -> Iterator[Embedded]:
    """The chunks; of their texts those that are cut are counted."""
    for chunk in chunks:
        counts[f"text cut to {embedder.model.max_length} tokens"] += int((chunk.cut > 0).sum())
        yield chunk


def timed(embedder: Embedder, texts: Iterator[str], speed: Speed) -> Iterator[Embedded]:
    """The chunks of a stream. The time that reading texts takes, and what is done with the vectors, does not count."""
    reading = 0.0

    def read() -> Iterator[str]:
        nonlocal reading
        while True:
            began = time.perf_counter()
            text = next(texts, None)
            reading += time.perf_counter() - began
            if text is None:
                return
            yield text

    began = time.perf_counter()
    for chunk in embedder.stream(read()):
        speed.seconds += time.perf_counter() - began - reading
        speed.count(chunk)
        yield chunk
        began, reading = time.perf_counter(), 0.0
