"""evaluate: a trained model and a labelled file -> scores.

The recipe: open the model, read the examples, compute the outputs once, score them, and tell.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from bertsmith.engine.choosing import EngineName, InferencePrecision
from bertsmith.files import dump_json, write_text
from bertsmith.report.terminal import tabulate_scores
from bertsmith.stages.answer_lines import check_output, ids_of, json_lines
from bertsmith.stages.opened import open_model, remarks, tell
from bertsmith.stages.options import ColumnOptions
from bertsmith.stages.splits import open_table


@dataclass(frozen=True)
class EvaluateSettings:
    """Options of `evaluate`."""

    model: str
    """Folder of the trained model, or its name on the hub."""
    data: str
    """Labelled file: CSV, TSV, JSONL, Parquet, CoNLL columns, SQuAD JSON, any of them hf://; or pydocs."""
    predictions: str | None = None
    """File to write the answer to every row to as well, as JSON lines."""
    json: bool = False
    """Print one JSON object of scores, and nothing else, on standard output."""
    max_length: int | None = None
    """Most tokens of a sequence; as in training unless given."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    engine: EngineName = "auto"
    """torch, openvino, or auto: OpenVINO on a CPU that has enough to do, torch elsewhere."""
    precision: InferencePrecision = "fp32"
    """Number format of matrix products; fp32 scores alike on every machine, auto is the fastest here but int8."""

    columns: Annotated[ColumnOptions, Parameter(name="*", group="Columns")] = field(default_factory=ColumnOptions)


def evaluate(settings: EvaluateSettings, *, console: Console | None = None) -> dict[str, float]:
    """Print the scores of a model on a labelled file: a table, or one JSON object.

    console: where remarks on model and data go; standard error if none is given

    Returns the scores.
    """
    console = console or Console(stderr=True)
    if settings.predictions is not None:
        check_output(settings.predictions)
    model = open_model(
        settings.model,
        max_length=settings.max_length,
        device=settings.device,
        precision=settings.precision,
        engine=settings.engine,
        console=console,
    )
    table = open_table(settings.data, settings.columns)
    examples, encoded = model.read(table, settings.columns.parts)
    tell(remarks(encoded, model.max_length), console)

    outputs = model.outputs(encoded)
    scores = model.scores(outputs, encoded, examples)
    if settings.predictions is not None:
        answers = model.task.answers(outputs, encoded, examples)
        write_text(Path(settings.predictions), json_lines(answers, ids_of(table)))
    if settings.json:
        sys.stdout.write(dump_json(scores) + "\n")
    else:
        Console().print(tabulate_scores(scores, metric=model.task.metric_among(scores)))
    return scores
