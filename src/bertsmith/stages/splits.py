"""The data of a run: what is trained on and what is evaluated on.

Enters: files. Leaves: examples of both splits, the task that the training examples show, and the findings of the data
checks. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertsmith.errors import DataError, count
from bertsmith.report.record import Split
from bertsmith.stages.options import ColumnOptions, TaskOptions
from bertsmith.tables import Table, read, read_texts, split
from bertsmith.tables.checks import LISTED, Finding, check_examples
from bertsmith.tasks import Encoded, Examples, Task
from bertsmith.text import Tokenizer
from bertsmith.text.pydocs import SOURCES


@dataclass(frozen=True)
class Splits:
    """Examples to train on and, maybe, to evaluate on."""

    task: Task
    train: Examples
    evaluation: Examples | None
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
    table = open_table(train, columns, lines=kind.takes_lines)
    source = f"{table.path}, {validation:.0%} held out"
    if evaluation is not None:
        held_out = open_table(evaluation, columns, lines=kind.takes_lines)
        source = held_out.path
    elif validation:
        examples = kind.read(table, columns.parts)
        train_rows, eval_rows = split(
            kind.strata(examples), validation, seed, groups=examples.groups, continuous=kind.continuous
        )
        table, held_out = table.select(train_rows), table.select(eval_rows)
    else:
        held_out = None
    examples = kind.read(table, columns.parts)
    if not len(examples):
        raise DataError(f"{table.path}: no rows to train on")
    task = kind.learn(examples, **options.given(kind))
    if held_out is None:
        return Splits(task, examples, None, table.path, "")
    eval_examples = kind.read(held_out, columns.parts)
    task.check(eval_examples)
    return Splits(task, examples, eval_examples, table.path, source)


def open_table(source: str | Path | Table, columns: ColumnOptions, *, lines: bool = False) -> Table:
    """A table as it is, or read from its file; with ``lines`` of a file that is no table, too."""
    if isinstance(source, Table):
        return source
    return (read_texts if lines else read)(source, columns=columns.names, sources=SOURCES)


def encode_splits(splits: Splits, tokenizer: Tokenizer, max_length: int) -> EncodedSplits:
    """Both splits as tokens."""
    task = splits.task
    return EncodedSplits(
        task.encode(splits.train, tokenizer, max_length),
        None if splits.evaluation is None else task.encode(splits.evaluation, tokenizer, max_length),
    )


def check_splits(splits: Splits, encoded: EncodedSplits, max_length: int, pass_tokens: int) -> list[Finding]:
    """What is remarkable about the data: duplicates, overlap, empty texts, rare labels, truncation, what the task
    counted as it made tokens of it, and rows that alone are more than ``pass_tokens``."""

    def shown(examples: Examples) -> list[tuple[str, ...]]:
        return [examples.shown(row) for row in range(len(examples))]

    train, evaluation = splits.train, splits.evaluation
    findings = check_examples(
        shown(train),
        splits.task.label_sets(train),
        where=train.where,
        eval_texts=None if evaluation is None else shown(evaluation),
        eval_where=(evaluation or train).where,
        cut=encoded.train.cut.tolist(),
        max_length=max_length,
    )
    for name, part in (("train", encoded.train), ("eval", encoded.evaluation)):
        counts = {} if part is None else part.counts
        findings += [
            Finding("counts", "note", f"{name}: {count(number, what)}", number)
            for what, number in counts.items()
            if number
        ]
    return findings + check_row_tokens(encoded.train, pass_tokens)


def check_row_tokens(encoded: Encoded, pass_tokens: int) -> list[Finding]:
    """Rows that a pass of training cannot be cut down to, since a row is computed whole: questions with many endings.

    In an evaluation and in predictions each ending counts by itself.
    """
    large = np.flatnonzero(encoded.row_tokens > pass_tokens)
    if not len(large):
        return []
    message = (
        f"train: {count(len(large), 'row')} of more than {pass_tokens:,} tokens (--pass-tokens), the largest of "
        f"{encoded.row_tokens.max():,}: each is computed at once; if memory runs out, give --recompute or a smaller "
        f"--max-length"
    )
    return [Finding("large-rows", "note", message, len(large), tuple(large[:LISTED].tolist()))]


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
                    truncated=tokens.num_cut,
                    labels=splits.task.count_labels(examples),
                    source=source,
                )
            )
    return told
