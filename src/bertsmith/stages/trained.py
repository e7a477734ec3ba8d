"""Training as `finetune` does it: the loop, with its log, its evaluations and its states."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from rich.console import Console

from bertsmith.engine import TaskModel
from bertsmith.errors import TrainingError
from bertsmith.report.log import RunLog
from bertsmith.report.progress import TrainingProgress
from bertsmith.settings import to_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.prepared import Prepared, start_model
from bertsmith.stages.run_folder import RunFolder
from bertsmith.tasks import Encoded
from bertsmith.training import BatchPlan, Evaluation, FitOptions, FitResult, State, fit

SECONDS_BETWEEN_SAVES = 30.0

# What may differ between a run and its resumption: none of it changes the weights. The data counts by its tokens.
_FREE = ("resume", "overwrite", "dry_run", "out", "log_every", "save_every", "train", "eval")


def train(prepared: Prepared, settings: FinetuneSettings, folder: RunFolder, console: Console) -> FitResult:
    """Train the model on the training split, evaluating on the other."""
    return _run(prepared.model, prepared, prepared.encoded.train, settings, settings.fit, folder, console, "state")


def refit(
    prepared: Prepared, tuned: FitResult, settings: FinetuneSettings, folder: RunFolder, console: Console
) -> FitResult:
    """Train anew on both splits for as many epochs as were best, and put that model in the other's place."""
    evaluation = prepared.encoded.evaluation
    assert evaluation is not None  # `FinetuneSettings` sees to it
    best = tuned.progress.best_step or tuned.progress.step
    epochs = best / BatchPlan(prepared.encoded.train, settings.fit).steps_per_epoch
    console.print(f"refit: {epochs:g} epochs on train + eval", highlight=False)
    rows = Encoded.concatenate([prepared.encoded.train, evaluation])
    options = dataclasses.replace(settings.fit, epochs=epochs, steps=None, minutes=None, tokens=None, keep_best=False)
    prepared.model = start_model(settings, prepared.splits)
    return _run(prepared.model, prepared, rows, settings, options, folder, console, "state-refit")


def _run(
    model: TaskModel,
    prepared: Prepared,
    rows: Encoded,
    settings: FinetuneSettings,
    options: FitOptions,
    folder: RunFolder,
    console: Console,
    phase: str,
) -> FitResult:
    plan = BatchPlan(rows, options)
    identity = identify(settings, rows, prepared.encoded.evaluation)
    state = folder.load_state(phase, identity) if settings.resume else None
    step = state.values["step"] if state else 0
    tuning = phase == "state"
    if settings.resume:
        console.print(f"resuming at step {step:,}" if state else "no state was saved yet: starting from step 0")
    with ExitStack() as stack:
        bar = stack.enter_context(
            TrainingProgress(
                options.planned_steps(plan.steps_per_epoch), minutes=options.minutes, first_step=step, console=console
            )
        )
        log = stack.enter_context(RunLog(folder.path, resume_at=step if state else None)) if tuning else None

        def tell(record: dict[str, Any]) -> None:
            bar.log(record)
            if log is not None:
                log.log(record)

        result = fit(
            model.model,
            plan,
            lambda network, batch: model.task.loss(network(batch).float(), batch),
            options,
            model.precision,
            state=state,
            evaluate=evaluator(prepared, settings) if tuning else None,
            save=saver(folder, phase, identity, options),
            log=tell,
        )
    check_weights(model, options)
    return result


def check_weights(model: TaskModel, options: FitOptions) -> None:
    """Raise `TrainingError` for weights that the last step made infinite: no loss of a next step would tell."""
    for name, weights in model.model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise TrainingError(
                f"the weights {name} are not finite after the last step: the model is not kept; try a smaller --lr "
                f"(it is {options.lr:g}) or a longer --warmup"
            )


def saver(folder: RunFolder, phase: str, identity: dict[str, Any], options: FitOptions) -> Callable[[State], None]:
    """Keeps the state of a phase: whenever asked to with ``--save-every``, else every half minute at most.

    Saving takes about a second, and the epochs of a small file may be shorter than that.
    """
    saved = time.monotonic()

    def save(state: State) -> None:
        nonlocal saved
        if options.save_every or time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            folder.save_state(state, phase, identity)
            saved = time.monotonic()

    return save


def evaluator(prepared: Prepared, settings: FinetuneSettings) -> Callable[[], Evaluation] | None:
    """Scores the model on the evaluation split, or ``None`` when there is none."""
    model, encoded, examples = prepared.model, prepared.encoded.evaluation, prepared.splits.evaluation
    if encoded is None:
        return None
    metric = settings.metric or model.task.metric

    def evaluate() -> Evaluation:
        scores = model.scores(model.outputs(encoded), encoded, examples)
        return Evaluation(scores, -scores[metric] if metric in ("loss", "mse", "ece") else scores[metric])

    return evaluate


def identify(settings: FinetuneSettings, rows: Encoded, evaluation: Encoded | None) -> dict[str, Any]:
    """What must be the same for a resumed run to end as the unbroken one: the options, and the data as tokens.

    The data to evaluate on is part of it: scores decide which weights are kept, and when training stops.
    """
    values = {name: value for name, value in to_flat(settings).items() if name not in _FREE}
    return {
        **values,
        "the training data": _checksum(rows),
        "the evaluation data": None if evaluation is None else _checksum(evaluation),
    }


def _checksum(rows: Encoded) -> str:
    targets = [*rows.row_targets.values(), *rows.token_targets.values()]
    checksum = 0
    for array in [rows.sequences.ids, rows.sequences.bounds, rows.rows, *targets]:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return f"{checksum:08x}"
