"""--dry-run: one step of everything, and the plan."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bertsmith.engine import TaskModel
from bertsmith.report.words import format_duration
from bertsmith.stages.splits import EncodedSplits
from bertsmith.tasks import Encoded
from bertsmith.training import BatchPlan, FitOptions, fit

_STEPS = 5  # enough for the clock to settle
_EVAL_ROWS = 256


def dry_run(model: TaskModel, encoded: EncodedSplits, options: FitOptions, console: Console) -> None:
    """Train a few steps, evaluate and save in a place that is removed again; print what the whole run would take."""
    plan = BatchPlan(encoded.train, options)
    steps = options.planned_steps(plan.steps_per_epoch)
    trial = dataclasses.replace(options, epochs=None, steps=_STEPS, minutes=None, tokens=None)
    times: list[float] = []

    def note(record: dict[str, object]) -> None:
        times.append(time.perf_counter())

    result = fit(
        model.model,
        plan,
        lambda network, batch: model.task.loss(network(batch).float(), batch),
        dataclasses.replace(trial, log_every=1),
        model.precision,
        log=note,
    )
    step_seconds = float(np.median(np.diff(times))) if len(times) > 1 else result.progress.seconds
    eval_seconds = _time_evaluation(model, encoded.evaluation)
    with tempfile.TemporaryDirectory() as place:
        started = time.perf_counter()
        model.save(Path(place) / "model")
        save_seconds = time.perf_counter() - started

    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for name, value in _facts(plan, encoded, options, steps):
        table.add_row(name, value)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    table.add_row("memory", f"{peak / 2**30:.1f} GiB at most so far")
    table.add_row("one step", f"{step_seconds * 1000:,.0f} ms")
    if steps:
        table.add_row("training", f"about {format_duration(steps * step_seconds)}")
    elif options.minutes:
        table.add_row(
            "training", f"{options.minutes:g} minutes, about {60 * options.minutes / step_seconds:,.0f} steps"
        )
    if eval_seconds:
        table.add_row("each evaluation", f"about {format_duration(eval_seconds)}")
    table.add_row("each save", f"about {format_duration(save_seconds)}")
    console.print(table)
    console.print("dry run: everything works; nothing was kept", highlight=False)


def _facts(plan: BatchPlan, encoded: EncodedSplits, options: FitOptions, steps: int | None) -> list[tuple[str, str]]:
    sequences = encoded.train.sequences
    epochs = "" if not steps else f" ({steps / plan.steps_per_epoch:g} epochs)"
    return [
        ("steps", f"{steps:,}{epochs}" if steps else "until the time is over"),
        ("rows in a step", f"{options.batch_size:,}"),
        ("tokens in an epoch", f"{len(sequences.ids):,}"),
        (
            "padding avoided",
            f"{padding_avoided(plan, encoded.train):.0%} of the tokens that padded batches would compute",
        ),
        ("sequences cut", f"{int(np.count_nonzero(sequences.cut)):,} of {len(sequences):,}"),
    ]


def padding_avoided(plan: BatchPlan, encoded: Encoded) -> float:
    """The share of padding in an epoch of batches padded to their longest sequence."""
    lengths = encoded.sequences.lengths
    padded = tokens = 0
    for step in range(plan.steps_per_epoch):
        rows = plan.step_rows(step)
        bounds = zip(encoded.rows[rows], encoded.rows[rows + 1], strict=True)
        widths = np.concatenate([lengths[low:high] for low, high in bounds])
        padded += int(widths.max()) * len(widths)
        tokens += int(widths.sum())
    return 1 - tokens / padded


def _time_evaluation(model: TaskModel, encoded: Encoded | None) -> float:
    """Seconds that evaluating the whole split takes, from a part of it."""
    if encoded is None:
        return 0.0
    count = min(_EVAL_ROWS, len(encoded.sequences))
    part = encoded.sequences.take(np.arange(count))
    started = time.perf_counter()
    model.engine.outputs(part)
    return (time.perf_counter() - started) * len(encoded.sequences.ids) / max(1, len(part.ids))
