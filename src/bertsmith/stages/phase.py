"""One training from start to end, as stages run it: the loop, with its log, its evaluations and its states.

Enters: a `Phase`: what is trained on what, by which loss. Leaves: a trained model. Fine-tuning, its refit and
pretraining are phases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console

from bertsmith.errors import TrainingError
from bertsmith.model.heads import EncoderModel
from bertsmith.report.log import RunLog
from bertsmith.report.progress import TrainingProgress
from bertsmith.stages.run_folder import RunFolder
from bertsmith.training import Evaluation, FitOptions, FitResult, LossFunction, Plan, Precision, State, fit
from bertsmith.training.processes import ALONE, Processes

SECONDS_BETWEEN_SAVES = 30.0
_COUNTED = ("step", "planned_steps")  # in a line of the log, over all phases


@dataclass(frozen=True)
class Phase:
    """One training from start to end; a run with ``--refit`` or ``[[phases]]`` has several.

    name:         of the folder of its state
    model:        is trained in place
    identity:     what must be the same when it is resumed
    adjustable:   names of the identity that may differ all the same, and are told where they do
    evaluate:     scores the model on the way, or ``None``
    logged:       its steps and scores are those of ``log.jsonl``
    followed:     another phase comes after it, and starts from what it came to
    steps_before: of the phases before it, which the log has told of
    share_of:     tokens a second that would be all that the machine can do; with it the log tells the share
    processes:    that train it together; the first of them writes the files and talks to the user
    """

    name: str
    model: EncoderModel
    plan: Plan
    loss: LossFunction
    options: FitOptions
    precision: Precision
    identity: Mapping[str, Any]
    adjustable: frozenset[str] = frozenset()
    evaluate: Callable[[], Evaluation] | None = None
    logged: bool = False
    followed: bool = False
    steps_before: int = 0
    share_of: float | None = None
    processes: Processes = ALONE


def run_phase(
    phase: Phase,
    folder: RunFolder,
    console: Console,
    *,
    resume: bool,
    interrupted: Callable[[], bool] | None = None,
) -> FitResult:
    """Train from the start, or with ``resume`` from the state that was saved last.

    Raises `TrainingError` where the loss or the weights are no longer finite.
    """
    before = phase.steps_before
    state = None
    if resume:
        state, changed = folder.load_state(phase.name, phase.identity, phase.adjustable)
        at = before + state.values["step"] if state else before
        console.print(f"resuming at step {at:,}" if state else f"no state was saved yet: starting from step {at:,}")
        for line in changed:
            console.print(line, highlight=False, markup=False)
    with ExitStack() as stack:
        listeners: list[Callable[[dict[str, Any]], None]] = []
        if phase.processes.first:
            listeners.append(stack.enter_context(TrainingProgress(console=console)).log)
            if phase.logged:
                resume_at = before + state.values["step"] if state else before or None
                listeners.append(stack.enter_context(RunLog(folder.path, resume_at=resume_at)).log)

        def tell(record: dict[str, Any]) -> None:
            whole = {name: value + before if name in _COUNTED else value for name, value in record.items()}
            if phase.share_of is not None and "tokens_per_second" in record:
                whole["share_of_peak"] = record["tokens_per_second"] / phase.share_of
            for listener in listeners:
                listener(whole)

        result = fit(
            phase.model,
            phase.plan,
            phase.loss,
            phase.options,
            phase.precision,
            state=state,
            evaluate=phase.evaluate if phase.processes.first else None,
            save=_saver(folder, phase) if phase.processes.first else None,
            log=tell,
            interrupted=interrupted,
            processes=phase.processes,
        )
    check_weights(phase.model, phase.options)
    return result


def check_weights(model: EncoderModel, options: FitOptions) -> None:
    """Raise `TrainingError` for weights that the last step made infinite: no loss of a next step would tell."""
    for name, weights in model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise TrainingError(
                f"the weights {name} are not finite after the last step: the model is not kept; try a smaller --lr "
                f"(it is {options.lr:g}) or a longer --warmup"
            )


def _saver(folder: RunFolder, phase: Phase) -> Callable[[State], None]:
    """Keeps the state of a phase: whenever asked to with ``--save-every``, else every half minute at most.

    Saving takes about a second, and the epochs of a small file may be shorter than that. The last state of a phase that
    was broken off, or that another follows, is kept in any case: what comes next depends on where this one ended. That
    of one that failed is kept where anything may be changed to go on from it.
    """
    saved = time.monotonic()

    def save(state: State) -> None:
        nonlocal saved
        if state.failed and not phase.adjustable:
            return
        due = phase.options.save_every or time.monotonic() - saved >= SECONDS_BETWEEN_SAVES
        if due or state.broken_off or state.failed or (state.last and phase.followed):
            folder.save_state(state, phase.name, phase.identity)
            saved = time.monotonic()

    return save
