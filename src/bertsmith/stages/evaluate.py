"""evaluate: a trained model and a labelled file -> scores.

The recipe: open the model, read the examples, compute the outputs once, score them, and tell.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from rich.console import Console

from bertsmith.engine import TaskModel
from bertsmith.files import write_text
from bertsmith.report.plain import dump_json
from bertsmith.report.terminal import tabulate_scores
from bertsmith.stages.answer_lines import check_output, ids_of, json_lines
from bertsmith.stages.options import ColumnOptions
from bertsmith.stages.splits import open_table
from bertsmith.tasks import Encoded
from bertsmith.training.options import PrecisionName


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
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    precision: PrecisionName = "fp32"
    """Number format of matrix products; fp32 scores alike on every machine, auto is the fastest format here."""

    columns: Annotated[ColumnOptions, Parameter(name="*", group="Columns")] = field(default_factory=ColumnOptions)


def evaluate(settings: EvaluateSettings, *, console: Console | None = None) -> dict[str, float]:
    """Print the scores of a model on a labelled file: a table, or one JSON object.

    console: where remarks on the data go; standard error if none is given

    Returns the scores.
    """
    console = console or Console(stderr=True)
    if settings.predictions is not None:
        check_output(settings.predictions)
    model = TaskModel.open(settings.model, device=settings.device, precision=settings.precision)
    table = open_table(settings.data, settings.columns)
    examples = model.task.read(table, settings.columns.where)
    model.task.check(examples, where=table.path)
    encoded = model.task.encode(examples, model.tokenizer, model.max_length)
    for remark in remarks(encoded, model.max_length):
        console.print(f"note: {remark}", highlight=False, markup=False)

    outputs = model.outputs(encoded)
    scores = model.scores(outputs, encoded, examples)
    if settings.predictions is not None:
        answers = model.task.answers(outputs, encoded, examples)
        write_text(Path(settings.predictions), json_lines(answers, ids_of(table)))
    if settings.json:
        sys.stdout.write(dump_json(scores) + "\n")
    else:
        Console().print(tabulate_scores(scores, metric=model.task.metric))
    return scores


def remarks(encoded: Encoded, max_length: int) -> list[str]:
    """What a person should know of how the texts became tokens, a line each."""
    found = [f"{count:,} {what}" for what, count in encoded.counts.items() if count]
    cut = int(np.count_nonzero(encoded.sequences.cut))
    if cut:
        found.append(f"{cut:,} of {len(encoded.sequences):,} sequences are cut to {max_length} tokens")
    return found
