"""cluster: texts -> groups of texts that mean alike.

The recipe: turn the texts into vectors, group them, show what each group is about, and draw them on a page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertsmith.embedding.clusters import agglomerate, communities, flat_map, k_means, keywords, middles
from bertsmith.errors import SettingsError, nearest
from bertsmith.files import dump_json, write_text
from bertsmith.report.cluster_page import ClusterFacts, write_cluster_page
from bertsmith.report.words import clip_text
from bertsmith.stages.answer_lines import check_output
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.similar import check_cosine, embedded_rows
from bertsmith.stages.text_rows import Row, TextColumns, TextSource, name_of

Method = Literal["communities", "kmeans", "agglomerative"]

MAPPED = 2000  # texts on the picture; of more, evenly spaced ones
_SHOWN = 20  # clusters on a terminal


@dataclass(frozen=True)
class ClusterSettings:
    """Options of `cluster`."""

    input: TextSource
    """File of texts: a text a line, CSV, TSV, JSONL, Parquet, packed or not; or pydocs."""
    model: str = "starter"
    """Folder of a model for sentences, or of any encoder; starter; or a name on the hub."""
    method: Method = "communities"
    """communities: all that is near a text in the middle; kmeans; agglomerative: grown from pairs."""
    number: int | None = None
    """kmeans, agglomerative: clusters to make."""
    least: float | None = None
    """communities, agglomerative: cosine that holds a cluster together; 0.6 unless given."""
    smallest: int = 3
    """communities: texts of the smallest one."""
    seed: int = 42
    """Of kmeans and of the picture."""
    out: str | None = None
    """File for the cluster of every text, JSON lines in the order of the rows; -1 for none."""
    report: str | None = None
    """File for a page with a picture of all texts and a table of the clusters, .html."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print the clusters as JSON lines on a terminal as well."""
    file: Annotated[TextColumns, Parameter(name="*", group="Columns")] = field(default_factory=TextColumns)
    how: Annotated[EmbedderOptions, Parameter(name="*", group="Vectors")] = field(default_factory=EmbedderOptions)

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise SettingsError(f"--method {self.method!r} is none; {nearest(self.method, get_args(Method))}")
        if self.method == "kmeans" and self.number is None:
            raise SettingsError("--method kmeans needs the number of clusters; give --number")
        if self.method == "communities" and self.number is not None:
            raise SettingsError("--method communities finds how many there are; give --least in place of --number")
        if self.least is not None:
            check_cosine("--least", self.least)
        if self.method == "kmeans" and self.least is not None:
            raise SettingsError("--method kmeans takes no --least; give --number alone")
        if self.number is not None and self.least is not None:
            raise SettingsError("--number and --least exclude each other; give one of them")


def cluster(settings: ClusterSettings, *, console: Console | None = None) -> NDArray[np.int64]:
    """Group texts. Returns the cluster of each, from 0, the largest first; -1 for none."""
    console = console or Console(stderr=True)
    for place in (settings.out, settings.report):
        if place is not None:
            check_output(place)
    rows, vectors = embedded_rows(settings.input, settings.file, settings.how, settings.model, console)
    labels = grouped(vectors, settings)
    texts = [row.text for row in rows]
    facts = [
        ClusterFacts(int((labels == number).sum()), texts[middle], words)
        for number, (middle, words) in enumerate(zip(middles(vectors, labels), keywords(texts, labels), strict=True))
    ]
    alone = int((labels < 0).sum())
    if settings.out is not None:
        write_text(settings.out, "".join(dump_json(line) + "\n" for line in lines_of(rows, labels)))
    if settings.report is not None:
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(MAPPED, len(rows))).astype(int))
        places = flat_map(vectors[chosen], seed=settings.seed)
        title = f"Clusters of {Path(name_of(settings.input)).name}"
        write_cluster_page(settings.report, title, facts, places, labels[chosen], alone=alone)
        console.print(f"open {settings.report} in a browser", highlight=False, markup=False)
    if settings.json or not sys.stdout.isatty():
        for number, one in enumerate(facts):
            told = {"cluster": number, "texts": one.size, "words": list(one.words), "middle": one.middle}
            print(dump_json(told))
    else:
        show(facts, alone)
    return labels


def grouped(vectors: NDArray[np.float32], settings: ClusterSettings) -> NDArray[np.int64]:
    """The cluster of each vector by the chosen method."""
    least = 0.6 if settings.least is None else settings.least
    if settings.method == "communities":
        return communities(vectors, least=least, smallest=settings.smallest)
    if settings.method == "agglomerative":
        return agglomerate(vectors, number=settings.number, least=None if settings.number is not None else least)
    assert settings.number is not None
    return k_means(vectors, settings.number, seed=settings.seed)


def lines_of(rows: list[Row], labels: NDArray[np.int64]) -> list[dict[str, object]]:
    """What is written of each text."""
    told: list[dict[str, object]] = []
    for row, label in zip(rows, labels.tolist(), strict=True):
        told.append({**({} if row.id is None else {"id": row.id}), "cluster": label, "text": row.text})
    return told


def show(facts: list[ClusterFacts], alone: int) -> None:
    """A table of the largest clusters for a person."""
    console = Console()
    table = Table("cluster", "texts", "words", "in the middle", box=box.SIMPLE_HEAD)
    for number, one in enumerate(facts[:_SHOWN]):
        table.add_row(str(number), f"{one.size:,}", Text(", ".join(one.words)), Text(clip_text(one.middle, 160)))
    console.print(table)
    if len(facts) > _SHOWN:
        console.print(f"and {len(facts) - _SHOWN:,} smaller ones; --report or --json shows all")
    if alone:
        console.print(f"{alone:,} texts belong to none")
