"""--dry-run: a run in small, with all that a run does, and the plan that follows from it."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from bertsmith.engine import TaskModel
from bertsmith.report.log import RunLog
from bertsmith.report.words import format_duration
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.outcome import judge, write_outcome
from bertsmith.stages.phase import SECONDS_BETWEEN_SAVES
from bertsmith.stages.prepared import Prepared
from bertsmith.stages.run_folder import RunFolder
from bertsmith.stages.splits import EncodedSplits
from bertsmith.stages.trained import identify, options_of, plan_of, task_loss
from bertsmith.tasks import Encoded
from bertsmith.training import BatchPlan, Evaluation, FitOptions, State, fit

_STEPS = 5  # enough for the clock to settle
_EVAL_SEQUENCES = 256  # of which outputs are computed
_TOKEN_COST = 340  # the memory of a token outside attention, in scores a head: some 16 vectors of 64, to 3 of a score


@dataclass
class Measured:
    """What the small run took. Seconds are those of one; an evaluation's are reckoned for the whole split.

    steps:      times at which steps had ended
    evaluation: seconds; 0 without a split to evaluate on
    save:       seconds of saving the state
    outcome:    seconds of writing checkpoint and report
    """

    steps: list[float] = field(default_factory=list)
    evaluation: float = 0.0
    save: float = 0.0
    outcome: float = 0.0

    @property
    def step(self) -> float:
        """Seconds of a usual step; the first, the largest, is not among them."""
        return float(np.median(np.diff(self.steps)))

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Keep how long the inside took."""
        started = time.perf_counter()
        yield
        setattr(self, name, time.perf_counter() - started)


def dry_run(prepared: Prepared, settings: FinetuneSettings, console: Console) -> None:
    """Do once all that a run does, in a place that is removed again; print what the whole run would take.

    Steps are few, that with the most memory the first. Of the split to evaluate on, outputs are computed for a part.
    """
    device = prepared.model.precision.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / "run")
        folder.path.mkdir()
        measured = _run_in_small(prepared, settings, folder)

    plan = plan_of(prepared.splits.task, prepared.encoded.train, settings.fit)
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for name, value in [
        *_facts(plan, prepared.encoded, settings.fit, measured),
        *_memory(device),
        *_durations(plan, prepared.encoded, settings, measured),
    ]:
        table.add_row(name, value)
    console.print(table)
    console.print("dry run: everything works; nothing was kept", highlight=False)


def _run_in_small(prepared: Prepared, settings: FinetuneSettings, folder: RunFolder) -> Measured:
    """Train, evaluate, save and write what a run writes."""
    model, encoded = prepared.model, prepared.encoded
    measured = Measured()
    plan = LargestFirst(encoded.train, options_of(prepared.splits.task, settings.fit))
    identity = identify(settings, encoded.train, encoded.evaluation)
    options = dataclasses.replace(
        settings.fit, epochs=None, steps=_STEPS, minutes=None, tokens=None, log_every=1, eval_every=_STEPS,
        save_every=_STEPS,
    )  # fmt: skip

    def save(state: State) -> None:
        with measured.timing("save"):
            folder.save_state(state, "state", identity)

    with RunLog(folder.path) as run_log:

        def log(record: dict[str, Any]) -> None:
            if "eval" not in record:
                measured.steps.append(time.perf_counter())
            run_log.log(record)

        result = fit(
            model.model,
            plan,
            task_loss(model.task),
            options,
            model.precision,
            evaluate=_evaluator(prepared, settings, measured),
            save=save,
            log=log,
        )
    with measured.timing("outcome"):
        outputs = None if encoded.evaluation is None else part_outputs(model, encoded.evaluation)
        write_outcome(judge(prepared, result, settings, outputs), prepared, folder)
    return measured


def _evaluator(prepared: Prepared, settings: FinetuneSettings, measured: Measured) -> Callable[[], Evaluation] | None:
    """Scores part of the evaluation split, and reckons how long the whole would take."""
    model, encoded, examples = prepared.model, prepared.encoded.evaluation, prepared.splits.evaluation
    if encoded is None:
        return None

    def evaluate() -> Evaluation:
        started = time.perf_counter()
        outputs = part_outputs(model, encoded)
        computed = time.perf_counter()
        scores = model.scores(outputs, encoded, examples)
        part = encoded.sequences.bounds[min(_EVAL_SEQUENCES, len(encoded.sequences))]
        share = len(encoded.sequences.ids) / max(1, int(part))
        measured.evaluation = share * (computed - started) + time.perf_counter() - computed
        return Evaluation(scores, scores[settings.metric or model.task.metric_among(scores)])

    return evaluate


def part_outputs(model: TaskModel, encoded: Encoded) -> NDArray[np.float32]:
    """Outputs in the shape of the whole split, computed for its first sequences, and 0 for the others."""
    outputs = np.zeros(model.engine.shape(encoded.sequences), dtype=np.float32)
    first = encoded.sequences.take(np.arange(min(_EVAL_SEQUENCES, len(encoded.sequences))))
    computed = model.engine.outputs(first)
    outputs[: len(computed)] = computed
    return outputs


class LargestFirst(BatchPlan):
    """The batches of a run, the first of them that with the pass that takes most memory in an epoch."""

    def __init__(self, rows: Encoded, options: FitOptions) -> None:
        super().__init__(rows, options)
        lengths = rows.sequences.lengths
        costs = np.add.reduceat(lengths * (_TOKEN_COST + lengths), rows.rows[:-1])
        self.largest = 0  # which is what `step_rows` asks for while the largest is looked for
        self.largest = max(
            range(self.steps_per_epoch), key=lambda step: max(int(costs[rows].sum()) for rows in self.passes(step))
        )

    def step_rows(self, step: int) -> NDArray[np.int64]:
        return super().step_rows(self.largest if step == 0 else step)


def _facts(plan: BatchPlan, encoded: EncodedSplits, options: FitOptions, measured: Measured) -> list[tuple[str, str]]:
    about = "" if options.minutes is None and options.tokens is None else "about "
    steps = _expected_steps(plan, options, measured)
    return [
        ("steps", f"{about}{steps:,} ({steps / plan.steps_per_epoch:.3g} epochs)"),
        ("rows in a step", f"{options.batch_size:,}"),
        ("tokens in an epoch", f"{plan.tokens_per_epoch:,}"),
        (
            "padding avoided",
            f"{padding_avoided(plan, encoded.train):.0%} of the tokens that padded batches would compute",
        ),
        ("examples cut", f"{encoded.train.num_cut:,}"),
    ]


def _memory(device: torch.device) -> list[tuple[str, str]]:
    """The most memory that was held at once, which the largest pass was part of."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    told = [("memory", f"about {peak / 2**30:.1f} GiB")]
    if device.type == "cuda":
        told.append(("memory of the GPU", f"about {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"))
    return told


def _durations(
    plan: BatchPlan, encoded: EncodedSplits, settings: FinetuneSettings, measured: Measured
) -> list[tuple[str, str]]:
    """How long a step, an evaluation and a save take, and all of the run."""
    options = settings.fit
    steps = _expected_steps(plan, options, measured)
    training = steps * measured.step
    told = [("one step", f"{measured.step * 1000:,.0f} ms"), ("training", f"about {format_duration(training)}")]
    total = training + measured.outcome
    if encoded.evaluation is not None:
        number = math.ceil(steps / (options.eval_every or plan.steps_per_epoch)) + 1  # the last one is for the report
        told.append(("evaluations", f"{number:,}, about {format_duration(measured.evaluation)} each"))
        total += number * measured.evaluation
        if settings.refit:
            refit = training * (1 + len(encoded.evaluation) / len(encoded.train))
            told.append(("refit", f"at most {format_duration(refit)}"))
            total += refit
    epochs_or_pauses = min(steps / plan.steps_per_epoch, training / SECONDS_BETWEEN_SAVES)
    saves = int(steps / options.save_every if options.save_every else epochs_or_pauses)
    told.append(("saves", f"{saves:,}, about {format_duration(measured.save)} each"))
    total += saves * measured.save
    return [*told, ("in all", f"about {format_duration(total)}")]


def _expected_steps(plan: BatchPlan, options: FitOptions, measured: Measured) -> int:
    return math.ceil(options.expected_steps(plan.steps_per_epoch, plan.tokens_per_epoch, measured.step))


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
