"""Training as `finetune` does it: the phases of a run, their data and their scores."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from bertsmith.model import Batch
from bertsmith.model.heads import EncoderModel
from bertsmith.settings import to_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.further import Further, loss_by_source
from bertsmith.stages.phase import Phase, run_phase
from bertsmith.stages.prepared import Prepared, start_model
from bertsmith.stages.run_folder import RunFolder
from bertsmith.tasks import Encoded, Task
from bertsmith.tasks.metrics import LESS_IS_BETTER
from bertsmith.training import BatchPlan, Evaluation, FitOptions, FitResult, Loss, LossFunction, Plan
from bertsmith.training.mixture import Mixture

WHOLE = 1 << 40  # tokens: more than any batch has

# What may differ between a run and its resumption: none of it changes the weights. The data counts by its tokens.
_FREE = ("resume", "overwrite", "dry_run", "out", "log_every", "save_every", "train", "also", "eval")


def train(prepared: Prepared, settings: FinetuneSettings, folder: RunFolder, console: Console) -> FitResult:
    """Train the model on the training split, evaluating on the other."""
    model, rows = prepared.model, prepared.encoded.train
    phase = Phase(
        "state",
        model.model,
        *plan_and_loss(prepared, settings.fit),
        settings.fit,
        model.precision,
        identify(settings, rows, prepared.encoded.evaluation, prepared.further),
        evaluate=evaluator(prepared, settings),
        logged=True,
        followed=settings.refit,
    )
    return run_phase(phase, folder, console, resume=settings.resume)


def refit(
    prepared: Prepared, tuned: FitResult, settings: FinetuneSettings, folder: RunFolder, console: Console
) -> FitResult:
    """Train anew on both splits for as many epochs as were best, and put that model in the other's place.

    Its steps are not in the log, which tells of the tuning.
    """
    evaluation = prepared.encoded.evaluation
    assert evaluation is not None  # `FinetuneSettings` sees to it
    best = tuned.progress.best_step or tuned.progress.step
    epochs = best / plan_of(prepared.splits.task, prepared.encoded.train, settings.fit).steps_per_epoch
    console.print(f"refit: {epochs:g} epochs on train + eval", highlight=False)
    rows = Encoded.concatenate([prepared.encoded.train, evaluation])
    options = dataclasses.replace(settings.fit, epochs=epochs, steps=None, minutes=None, tokens=None, keep_best=False)
    prepared.model = model = start_model(settings, prepared.splits)
    identity = {**identify(settings, rows, evaluation), "the number of epochs to refit": epochs}
    plan = plan_of(prepared.splits.task, rows, options)
    phase = Phase("state-refit", model.model, plan, task_loss(model.task), options, model.precision, identity)
    return run_phase(phase, folder, console, resume=settings.resume)


def plan_of(task: Task, rows: Encoded, options: FitOptions) -> BatchPlan:
    """The batches of training."""
    return BatchPlan(rows, options_of(task, options))


def plan_and_loss(prepared: Prepared, options: FitOptions) -> tuple[Plan, LossFunction]:
    """The batches of all files, and what each costs."""
    task = prepared.model.task
    plan, loss = plan_of(task, prepared.encoded.train, options), task_loss(task)
    if not prepared.further:
        return plan, loss
    plans = [plan, *(plan_of(file.task, file.encoded, options) for file in prepared.further)]
    return Mixture(plans, options.seed), loss_by_source([loss, *(task_loss(file.task) for file in prepared.further)])


def options_of(task: Task, options: FitOptions) -> FitOptions:
    """The options; a batch in one pass, whatever memory that takes, where the task's loss compares its rows."""
    return dataclasses.replace(options, pass_tokens=WHOLE) if task.whole_batches else options


def task_loss(task: Task) -> LossFunction:
    """The task's loss of a model's output for a batch."""

    def loss(model: EncoderModel, batch: Batch) -> Loss:
        return task.training_loss(model, batch)

    return loss


def evaluator(prepared: Prepared, settings: FinetuneSettings) -> Callable[[], Evaluation] | None:
    """Scores the model on the evaluation split, or ``None`` when there is none."""
    model, encoded, examples = prepared.model, prepared.encoded.evaluation, prepared.splits.evaluation
    if encoded is None:
        return None

    def evaluate() -> Evaluation:
        scores = model.scores(model.outputs(encoded), encoded, examples)
        metric = settings.metric or model.task.metric_among(scores)
        return Evaluation(scores, -scores[metric] if metric in LESS_IS_BETTER else scores[metric])

    return evaluate


def identify(
    settings: FinetuneSettings, rows: Encoded, evaluation: Encoded | None, further: Sequence[Further] = ()
) -> dict[str, Any]:
    """What must be the same for a resumed run to end as the unbroken one: the options, and the data as tokens.

    The data to evaluate on is part of it: scores decide which weights are kept, and when training stops.
    """
    values = {name: value for name, value in to_flat(settings).items() if name not in _FREE}
    told = [f"{file.task.objective} of {_checksum(file.encoded)}" for file in further]
    return {
        **values,
        "the training data": _checksum(rows),
        "the evaluation data": None if evaluation is None else _checksum(evaluation),
        **({"the further data": told} if told else {}),
    }


def _checksum(rows: Encoded) -> str:
    targets = [*rows.row_targets.values(), *rows.token_targets.values()]
    checksum = 0
    for array in [rows.sequences.ids, rows.sequences.bounds, rows.rows, *targets]:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return f"{checksum:08x}"
