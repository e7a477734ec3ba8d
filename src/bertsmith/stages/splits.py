"""The data of a run: what is trained on and what is evaluated on.

Enters: files. Leaves: examples of both splits, the task that the training examples show, and the findings of the data
checks. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.errors import DataError
from bertsmith.report.record import Split
from bertsmith.stages.options import ColumnOptions, TaskOptions
from bertsmith.tables import Table, read, split
from bertsmith.tables.checks import Finding, check_examples
from bertsmith.tasks import Encoded, Task
from bertsmith.text import Tokenizer
from bertsmith.text.pydocs import SOURCES


@dataclass(frozen=True)
class Splits:
    """Examples to train on and, maybe, to evaluate on."""

    task: Task
    train: Any
    evaluation: Any | None
    train_source: str
    eval_source: str


@dataclass(frozen=True)
class EncodedSplits:
    """The same, tokenized."""

    train: Encoded
    evaluation: Encoded | None


def read_splits(
    kind: type[Task],
    train: str | Path | Table,
    evaluation: str | Path | Table | None,
    *,
    columns: ColumnOptions,
    options: TaskOptions,
    validation: float,
    seed: int,
) -> Splits:
    """Read the splits and learn the task from the training one.

    Without a file to evaluate on, the share ``validation`` of the training rows is held out, stratified by label; with
    0 nothing is evaluated. Raises `DataError` for labels to evaluate on that training does not have.
    """
    table = open_table(train, columns)
    source = f"{table.path}, {validation:.0%} held out"
    if evaluation is not None:
        held_out = open_table(evaluation, columns)
        source = held_out.path
    elif validation:
        examples = kind.read(table, columns.where)
        train_rows, eval_rows = split(
            examples.strata,
            validation,
            seed,
            num_rows=len(examples),
            groups=examples.groups,
            continuous=kind.continuous,
        )
        table, held_out = table.select(train_rows), table.select(eval_rows)
    else:
        held_out = None
    examples = kind.read(table, columns.where)
    if not len(examples):
        raise DataError(f"{table.path}: no rows to train on")
    task = kind.learn(examples, **options.given(kind))
    task.check(examples, where=table.path)
    if held_out is None:
        return Splits(task, examples, None, table.path, "")
    eval_examples = kind.read(held_out, columns.where)
    task.check(eval_examples, where=held_out.path)
    return Splits(task, examples, eval_examples, table.path, source)


def open_table(source: str | Path | Table, columns: ColumnOptions) -> Table:
    """A table as it is, or read from its file."""
    return source if isinstance(source, Table) else read(source, columns=columns.names, sources=SOURCES)


def encode_splits(splits: Splits, tokenizer: Tokenizer, max_length: int) -> EncodedSplits:
    """Both splits as tokens."""
    task = splits.task
    return EncodedSplits(
        task.encode(splits.train, tokenizer, max_length),
        None if splits.evaluation is None else task.encode(splits.evaluation, tokenizer, max_length),
    )


def check_splits(splits: Splits, encoded: EncodedSplits, max_length: int) -> list[Finding]:
    """What is remarkable about the data: duplicates, overlap, empty texts, rare labels, truncation, and what the task
    counted as it made tokens of it."""

    def shown(examples: Any) -> list[tuple[str, ...]]:
        return [examples.shown(row) for row in range(len(examples))]

    findings = check_examples(
        shown(splits.train),
        splits.train.strata,
        eval_texts=None if splits.evaluation is None else shown(splits.evaluation),
        cut=encoded.train.sequences.cut.tolist(),
        max_length=max_length,
    )
    for name, part in (("train", encoded.train), ("eval", encoded.evaluation)):
        counts = {} if part is None else part.counts
        findings += [
            Finding("counts", "note", f"{name}: {count:,} {what}", count) for what, count in counts.items() if count
        ]
    return findings


def describe_splits(splits: Splits, encoded: EncodedSplits) -> list[Split]:
    """The splits as the report shows them."""
    told = []
    for name, examples, tokens, source in (
        ("train", splits.train, encoded.train, splits.train_source),
        ("eval", splits.evaluation, encoded.evaluation, splits.eval_source),
    ):
        if examples is not None and tokens is not None:
            told.append(
                Split(
                    name=name,
                    rows=len(examples),
                    lengths=tokens.sequences.lengths,
                    truncated=int(np.count_nonzero(tokens.sequences.cut)),
                    labels=splits.task.count_labels(examples),
                    source=source,
                )
            )
    return told
