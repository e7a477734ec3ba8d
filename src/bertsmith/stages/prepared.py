"""All that training starts from: the data as tokens, and the model with its new head."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console

from bertsmith.engine import TaskModel
from bertsmith.errors import SettingsError, count, nearest
from bertsmith.report.record import Split
from bertsmith.report.terminal import tabulate_splits
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.further import Further, encode_further, read_further
from bertsmith.stages.splits import (
    EncodedSplits,
    Splits,
    check_splits,
    describe_splits,
    encode_splits,
    read_splits,
)
from bertsmith.tables.checks import Finding
from bertsmith.tasks import task_named
from bertsmith.tasks.embed import Embed


@dataclass
class Prepared:
    """Data and model of a run.

    described: the splits as tables and report show them
    findings:  what the data checks found
    further:   other files to train on
    """

    model: TaskModel
    splits: Splits
    encoded: EncodedSplits
    described: list[Split]
    findings: list[Finding]
    further: list[Further] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """Rows to train on, of all files."""
        return len(self.encoded.train) + sum(len(file.encoded) for file in self.further)


def prepare(settings: FinetuneSettings) -> Prepared:
    """Read the data, learn the task from it, put its head on the encoder, and turn the data into tokens."""
    kind = task_named(settings.task)
    splits = read_splits(
        kind,
        settings.train,
        settings.eval,
        columns=settings.columns,
        options=settings.options,
        validation=settings.validation,
        seed=settings.fit.seed,
    )
    further = []
    if isinstance(splits.task, Embed):
        further = read_further(settings.also, settings.columns, splits.task.labels)
        classes = next((file.task.labels for file in further if file.task.labels), ())
        splits = replace(splits, task=replace(splits.task, labels=splits.task.labels or classes))
    model = start_model(settings, splits)
    encoded = encode_splits(splits, model.tokenizer, model.max_length)
    check_metric(settings.metric, model, splits, encoded)
    return Prepared(
        model,
        splits,
        encoded,
        describe_splits(splits, encoded),
        check_splits(splits, encoded, model.max_length, settings.fit.pass_tokens),
        encode_further(further, model),
    )


def start_model(settings: FinetuneSettings, splits: Splits) -> TaskModel:
    """The encoder with a new head, as it is before training. Raises `SettingsError` for a new pooler of a task that has
    none, and for SimCSE without dropout."""
    if settings.new_pooler and splits.task.head not in ("sequence", "choice"):
        raise SettingsError(f"--new-pooler: the task {splits.task.name!r} has no pooler; leave it out")
    model = TaskModel.start(
        settings.model,
        splits.task,
        max_length=settings.max_length,
        seed=settings.fit.seed,
        device=settings.device,
        precision=settings.fit.precision,
        pass_tokens=settings.fit.pass_tokens,
        new_pooler=settings.new_pooler,
        dropout=settings.dropout,
    )
    if (
        isinstance(model.task, Embed)
        and model.task.objective == "simcse"
        and not model.model.config.hidden_dropout_prob
    ):
        raise SettingsError(
            f"--loss simcse compares a text with itself under other dropout, and {settings.model} has none; give "
            "--dropout 0.1"
        )
    return model


def check_metric(metric: str | None, model: TaskModel, splits: Splits, encoded: EncodedSplits) -> None:
    """Raise `SettingsError` for a ``--metric`` that is no score of the task on the evaluation split.

    Which scores there are depends on the data (SQuAD 2.0 has others than 1.1) and not on the answers, so outputs that
    are all zero tell it before a step is taken.
    """
    if metric is None or encoded.evaluation is None:
        return
    outputs = np.zeros(model.engine.shape(encoded.evaluation.sequences), dtype=np.float32)
    scores = set(model.scores(outputs, encoded.evaluation, splits.evaluation))
    if metric not in scores:
        raise SettingsError(
            f"--metric {metric!r} is no score of the task {model.task.name!r}; {nearest(metric, scores)}"
        )


def show_data(prepared: Prepared, console: Console) -> None:
    """Tell what the data is, what was found in it, and what of the model is new."""
    console.print(tabulate_splits(prepared.described))
    for file in prepared.further:
        told = f"also {file.source}: {count(len(file.encoded), 'row')}, loss {file.task.objective}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    for finding in prepared.findings:
        console.print(f"{finding.level}: {finding.message}", highlight=False, markup=False)
    model = prepared.model
    for line in model.news:
        console.print(line, highlight=False, markup=False)
    precision = model.precision
    console.print(
        f"{model.num_parameters:,} parameters, {precision.name} on {precision.device} ({precision.why})",
        highlight=False,
        markup=False,
    )
