"""whiten: texts and a model of vectors -> how its vectors lie, and a model whose vectors are spread evenly.

The recipe: turn the texts into vectors, look at their geometry, fit a whitening to them, put it behind the model as a
linear map, and compare: the geometry, and the scores on a file of pairs where one is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from bertsmith.embedding.geometry import Band, Geometry, fit_whitening, frequency_bands, geometry
from bertsmith.engine.embedder import with_linear_map
from bertsmith.engine.task_model import TaskModel
from bertsmith.errors import DataError, OutputError, SettingsError
from bertsmith.files import dump_json
from bertsmith.report.words import format_score, format_share, name_score
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.opened import tell
from bertsmith.stages.options import ColumnOptions
from bertsmith.stages.splits import open_table
from bertsmith.stages.text_rows import TextSource, name_of, stream_rows

_LARGEST = 50  # directions whose variance is told


@dataclass(frozen=True)
class WhitenSettings:
    """Options of `whiten`."""

    input: TextSource
    """File of texts to fit it to, some thousands without labels: lines, CSV, TSV, JSONL, Parquet; or pydocs."""
    model: str = "starter"
    """Folder of a model for sentences, or of any encoder; starter; or a name on the hub."""
    out: str | None = None
    """Folder for the whitened model. Without one nothing is written, and the tables are all there is."""
    keep: int = 0
    """Directions of greatest variance to keep; all unless given. Half of them often score better than all."""
    eval: str | None = None
    """File of pairs with a score, to compare both models on."""
    overwrite: Annotated[bool, Parameter(negative=())] = False
    """Replace the model in --out."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print one JSON object in place of the tables."""
    columns: Annotated[ColumnOptions, Parameter(name="*", group="Columns")] = field(default_factory=ColumnOptions)
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise SettingsError(f"--keep is {self.keep}; it must be 0 or more")
        if self.how.dimensions:
            raise SettingsError("--dimensions: a whitening chooses its own; give --keep for the number of them")


@dataclass(frozen=True)
class Compared:
    """A model's vectors of the texts, and its scores on pairs."""

    geometry: Geometry
    scores: dict[str, float]


def whiten(settings: WhitenSettings, *, console: Console | None = None) -> dict[str, Compared]:
    """Compare a model before and after whitening, and write the latter. Returns both comparisons by name."""
    console = console or Console(stderr=True)
    if settings.out is not None and (Path(settings.out) / "config.json").exists() and not settings.overwrite:
        raise OutputError(f"{settings.out}: holds a model; give --overwrite to replace it")
    counts: Counter[str] = Counter()
    columns = settings.columns
    texts = [row.text for row in stream_rows(settings.input, columns=columns.names, text=columns.text, counts=counts)]
    plain = settings.how.open(settings.model, console, normalize=False)
    if plain.pooling.dense:
        raise SettingsError(
            f"{settings.model}: has a linear map behind its pooling already; give --pooling {plain.pooling.mode} to "
            "leave it out"
        )
    if len(texts) <= plain.width:
        raise DataError(
            f"{name_of(settings.input)}: {len(texts):,} texts for vectors of {plain.width}; a whitening needs many "
            "more, some thousands"
        )
    tell(+counts, console)
    vectors = plain.embed(texts)
    whitening = fit_whitening(vectors, settings.keep)
    if not len(whitening.weight):
        raise DataError(f"{name_of(settings.input)}: all texts have the same vector; give different ones")
    whitened = with_linear_map(plain.model, whitening.weight, whitening.bias)
    found = {
        "before": Compared(geometry(vectors), scores_of(plain.model, settings)),
        "after": Compared(geometry(whitening.apply(vectors)), scores_of(whitened, settings)),
    }
    bands = frequency_bands(plain.word_embeddings, plain.count_tokens(texts))
    if settings.json:
        print(dump_json(as_json(found, bands)))
    else:
        show(found, bands)
    if settings.out is not None:
        whitened.save(settings.out, record={"base_model": settings.model, "whitened_on": len(texts)})
        console.print(f"the whitened model is in {settings.out}", highlight=False, markup=False, soft_wrap=True)
    return found


def scores_of(model: TaskModel, settings: WhitenSettings) -> dict[str, float]:
    """The scores on the file of pairs, if there is one."""
    if settings.eval is None:
        return {}
    examples, encoded = model.read(open_table(settings.eval, settings.columns), settings.columns.parts)
    return model.scores(model.outputs(encoded), encoded, examples)


def as_json(found: Mapping[str, Compared], bands: Sequence[Band]) -> dict[str, Any]:
    """Both comparisons and the bands as plain values."""
    told: dict[str, Any] = {
        name: {
            "mean_cosine": one.geometry.mean_cosine,
            "effective_rank": one.geometry.effective_rank,
            "dimensions": len(one.geometry.shares),
            "shares": one.geometry.shares[:_LARGEST],
            **one.scores,
        }
        for name, one in found.items()
    }
    return {**told, "token_embeddings": list(bands)}


def show(found: Mapping[str, Compared], bands: Sequence[Band]) -> None:
    """Both comparisons side by side, then the embeddings of tokens by their frequency."""
    console = Console()
    rows = {
        "dimensions": [f"{len(one.geometry.shares)}" for one in found.values()],
        "mean cosine of pairs": [f"{one.geometry.mean_cosine:.3f}" for one in found.values()],
        "variance in the first direction": [format_share(one.geometry.first_share) for one in found.values()],
        "effective rank": [f"{one.geometry.effective_rank:.0f}" for one in found.values()],
        **{
            name_score(name): [format_score(one.scores[name]) for one in found.values()]
            for name in found["before"].scores
        },
    }
    table = Table("vectors of the texts", box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in found:
        table.add_column(name, justify="right")
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print(table)
    table = Table("token embeddings by frequency", box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in ("mean length", "mean cosine"):
        table.add_column(name, justify="right")
    for band in bands:
        table.add_row(f"{band.first:,} to {band.last:,}", f"{band.length:.3f}", f"{band.cosine:.3f}")
    console.print(table)
