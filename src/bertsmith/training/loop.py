"""The training loop: the only one.

Enters: a model, a plan of batches, a loss. Leaves: a trained model. Pretraining, fine-tuning, distillation and
embeddings differ in the loss alone. The loop knows no task, no file format and no terminal: it calls ``evaluate``,
``save`` and ``log`` when they are due.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bertsmith.errors import TrainingError
from bertsmith.model.heads import EncoderModel
from bertsmith.training.loss import LossFunction
from bertsmith.training.memory import forget_scratch, keep_freed_memory
from bertsmith.training.options import FitOptions
from bertsmith.training.plan import Plan
from bertsmith.training.precision import Precision
from bertsmith.training.processes import ALONE, Processes
from bertsmith.training.step import INTERRUPTED, Progress, State, Stepper

SECONDS_BETWEEN_SAVES = 180.0  # where the user has not said how many steps


@dataclass(frozen=True)
class Evaluation:
    """Scores at a step, and the one number (greater is better) that says which step is best."""

    scores: Mapping[str, float]
    value: float


@dataclass(frozen=True)
class FitResult:
    """How training went; ``stopped`` says in words why it ended."""

    progress: Progress
    stopped: str


def fit(
    model: EncoderModel,
    plan: Plan,
    loss: LossFunction,
    options: FitOptions,
    precision: Precision,
    *,
    state: State | None = None,
    evaluate: Callable[[], Evaluation] | None = None,
    save: Callable[[State], None] | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    interrupted: Callable[[], bool] | None = None,
    processes: Processes = ALONE,
) -> FitResult:
    """Train ``model`` in place.

    state:    go on from here instead of from the start
    evaluate: scores the model, which is in evaluation mode then; it computes within ``precision.compute()``
    save:     keeps a state, so that a later call can go on from it
    log:      takes lines of the log. One of training holds step, planned_steps, epoch, loss and lr, gradient_norm,
              tokens_per_second, and the named parts of the loss; one of an evaluation step and eval
    interrupted: asked after each step; when it says so, the state is saved and training ends with the step
    processes: that train together, each on its part of ``plan``; ``evaluate``, ``save`` and ``log`` are for the first

    ``planned_steps`` is the step at which training is expected to end. It is exact where steps or epochs end training,
    and is estimated anew for each line where minutes or tokens may. A loss is NaN where no target of its steps was
    valid.

    The gradient of a step is that of the mean loss over all valid targets of its rows, whatever the number of passes.
    A step whose loss or gradient is not finite is passed over; a state is always of the last good one. Raises
    `TrainingError` after ``options.max_skipped`` of them in a row, and where no step came to an update.
    """
    keep_freed_memory()
    stepper = Stepper(model, plan, loss, options, precision, processes)
    try:
        if state is not None:
            stepper.restore(state)
        stepper.start_alike()
        stopped = _train(stepper, evaluate, save, log, interrupted)
        if stepper.progress.skipped_in_a_row and not stepper.progress.updates:
            raise TrainingError(
                f"none of {stepper.progress.step:,} steps had a finite loss and gradient: nothing was learnt; try a "
                f"smaller --lr (it is {options.lr:g}), or --precision fp32"
            )
        stepper.use_best()
    finally:
        stepper.release()
        forget_scratch()
        model.eval()
    return FitResult(stepper.progress, stopped)


def _train(
    stepper: Stepper,
    evaluate: Callable[[], Evaluation] | None,
    save: Callable[[State], None] | None,
    log: Callable[[dict[str, Any]], None] | None,
    interrupted: Callable[[], bool] | None,
) -> str:
    """Take steps until a stop is reached; returns which."""
    options, progress = stepper.options, stepper.progress
    stepper.model.train()
    stopped = stepper.stop_reached()
    saved = time.monotonic()
    while not stopped:
        started = time.perf_counter()
        try:
            stepper.take()
        except TrainingError:
            if save is not None and progress.updates and stepper.optimizer.is_finite():
                save(stepper.state(failed=True))
            raise
        stepper.count_seconds(time.perf_counter() - started)
        stopped = stepper.stop_reached()
        epoch_ended = progress.step % stepper.plan.steps_per_epoch == 0

        if log is not None and (progress.step % options.log_every == 0 or stopped):
            log(stepper.end_interval())
        if evaluate is not None and (_due(progress.step, options.eval_every, epoch_ended) or stopped):
            scores = _evaluate(stepper, evaluate)
            if options.patience and progress.evaluations_since_best() >= options.patience and not stopped:
                stopped = progress.stopped = f"no better score in {options.patience} evaluations"
                if log is not None and progress.interval:
                    log(stepper.end_interval())
            if log is not None:
                log({"step": progress.step, "eval": scores})
        broken_off = not stopped and interrupted is not None and interrupted()
        waited = not options.save_every and time.monotonic() - saved >= SECONDS_BETWEEN_SAVES
        due = _due(progress.step, options.save_every, epoch_ended or waited) or stopped or broken_off
        if save is not None and due and stepper.optimizer.is_finite():
            save(stepper.state(last=bool(stopped), broken_off=broken_off))
            saved = time.monotonic()
        stopped = stepper.agree(INTERRUPTED if broken_off else stopped)
    return stopped


def _evaluate(stepper: Stepper, evaluate: Callable[[], Evaluation]) -> dict[str, float]:
    """Score the model in evaluation mode, and note whether this step is the best so far."""
    stepper.model.eval()
    evaluation = evaluate()
    stepper.model.train()
    progress, scores = stepper.progress, dict(evaluation.scores)
    progress.evaluations.append({"step": progress.step, **scores})
    best = progress.best_value
    if not math.isnan(evaluation.value) and (best is None or evaluation.value > best):
        stepper.keep_as_best(evaluation.value)
    return scores


def _due(step: int, every: int, otherwise: bool) -> bool:
    return step % every == 0 if every else otherwise
