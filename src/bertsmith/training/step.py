"""One optimizer step, and the state between steps.

Enters: the rows of a step. Leaves: updated weights, and a record for the log. The order of things in a step: passes
forward and backward, gradients gathered and scaled to the mean, clipped, one update.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.errors import TrainingError
from bertsmith.model.heads import EncoderModel
from bertsmith.training.live_rows import LiveRows
from bertsmith.training.loss import LossFunction
from bertsmith.training.optimizer import Optimizer
from bertsmith.training.options import FitOptions
from bertsmith.training.parameters import group_parameters, parse_freeze
from bertsmith.training.plan import Plan
from bertsmith.training.precision import Precision
from bertsmith.training.processes import ALONE, Processes
from bertsmith.training.schedules import learning_rate

INTERRUPTED = "interrupted"  # why training is over, when a signal broke it off

_LIVE_SHARE = 0.7  # above this share of used rows the whole embedding is trained as it is
_FIRST_SCALE = 2.0**15  # fp16: the factor on the mean loss that training starts with
_SCALE_GROWTH_STEPS = 2000  # fp16: steps without overflow before the loss scale doubles (Micikevicius et al. 2018)


@dataclass
class Progress:
    """Where training stands: with the tensors of `State`, all that a resumed run goes on from."""

    step: int = 0
    updates: int = 0  # fp16 skips some steps
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    precision: str = ""
    loss_scale: float = 1.0  # of the sum of a step's losses
    steps_since_overflow: int = 0
    skipped: int = 0  # steps without an update, because their numbers were not finite
    skipped_in_a_row: int = 0
    unused_row_decay: float = 1.0
    best_step: int | None = None
    best_value: float | None = None
    best_unused_row_decay: float = 1.0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    interval: dict[str, float] = field(default_factory=dict)
    stopped: str = ""  # why training ended before its planned stop

    def evaluations_since_best(self) -> int:
        return sum(one["step"] > (self.best_step or 0) for one in self.evaluations)


@dataclass(frozen=True)
class State:
    """A moment of training as it is saved: tensors, and values that JSON can hold.

    last:       training has ended
    broken_off: it was interrupted
    failed:     it came to numbers that are not finite, and this is the last good moment before
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    last: bool = False
    broken_off: bool = False
    failed: bool = False


class Stepper:
    """Takes optimizer steps of one model over one plan."""

    def __init__(
        self,
        model: EncoderModel,
        plan: Plan,
        loss: LossFunction,
        options: FitOptions,
        precision: Precision,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.plan, self.loss, self.options, self.precision = model, plan, loss, options, precision
        self.processes = processes
        self.progress = Progress(precision=precision.name)
        if precision.name == "fp16":  # a step has about as many targets as rows, or more; a power of two rounds nothing
            self.progress.loss_scale = _FIRST_SCALE / 2 ** (plan.batch_size - 1).bit_length()
        self.best: list[Tensor] | None = None
        self.before_skips: tuple[dict[str, Any], list[Tensor] | None] | None = None
        model.encoder.recompute = options.recompute
        self._narrow_embedding()
        groups = group_parameters(model, model.config.num_hidden_layers, options)
        linear = {one for part in model.modules() if isinstance(part, nn.Linear) for one in part.parameters()}
        self.optimizer = Optimizer(groups, options, linear, precision.dtype)

    def _narrow_embedding(self) -> None:
        """Train only the used rows of the word embedding, where that saves something."""
        embeddings = self.model.encoder.embeddings
        frozen = -1 in parse_freeze(self.options.freeze, self.model.config.num_hidden_layers)
        used = self.plan.used_ids
        exact = not frozen and self.options.rows_learn_alone and not self.model.ties_words
        if exact and len(used) <= _LIVE_SHARE * self.model.config.vocab_size:
            assert isinstance(embeddings.word, nn.Embedding)
            embeddings.word = LiveRows(embeddings.word, used)

    @property
    def live_rows(self) -> LiveRows | None:
        word = self.model.encoder.embeddings.word
        return word if isinstance(word, LiveRows) else None

    def take(self) -> None:
        """One optimizer step. A loss or gradient that is not finite changes no weight, and the step counts as skipped.

        Raises `TrainingError` at the last of ``max_skipped`` such steps in a row, and where no later one can be better.
        """
        progress = self.progress
        sums: dict[str, Tensor] = {}
        tokens = 0
        self.optimizer.begin()
        with self.precision.compute():
            for index, packed in enumerate(self.plan.batches(progress.step)):
                batch = packed.to(self.precision.device)
                place = index * self.processes.number + self.processes.rank
                self.model.encoder.noise.seed(self.options.seed, progress.step, place)
                loss = self.loss(self.model, batch)
                (loss.sum * progress.loss_scale).backward()  # type: ignore[no-untyped-call]
                self.optimizer.collect(first=index == 0)
                tokens += len(batch.ids)
                for name, value in loss.measured().items():
                    sums[name] = sums[name] + value if name in sums else value
        # One look at the device a step, since each waits until all that was asked of it is computed.
        self.optimizer.add_up(self.processes)
        sums["tokens"] = torch.tensor(float(tokens), device=self.precision.device)
        totals = torch.stack(list(sums.values()))
        self.processes.add_up(totals)
        *values, scaled_norm = torch.cat([totals, self.optimizer.norm()[None]]).tolist()
        measured = dict(zip(sums, values, strict=True))
        total, count = measured["loss"], measured["loss.count"]
        divisor = max(count, 1e-12) * progress.loss_scale
        norm = scaled_norm / divisor
        lr = learning_rate(self.options, progress.step, self.expected_steps())
        if self._is_sound(total, norm, count):
            self.optimizer.step(lr, divisor=divisor, norm=norm)
            progress.updates += 1
            if self.live_rows is not None:
                self._decay_unused_rows(lr)
        progress.step += 1
        progress.rows += self.plan.num_rows(progress.step - 1)
        progress.tokens += int(measured["tokens"])
        interval = progress.interval
        for name, number in measured.items():
            told = name == "tokens" or math.isfinite(total)
            interval[name] = interval.get(name, 0.0) + (number if told else 0.0)
        interval["lr"] = lr
        interval["gradient_norm"] = norm

    def count_seconds(self, seconds: float) -> None:
        """Add the time of a step to the clock of training, which is the same for all processes."""
        seconds = self.processes.of_first(seconds)
        self.progress.seconds += seconds
        self.progress.interval["seconds"] = self.progress.interval.get("seconds", 0.0) + seconds

    def _is_sound(self, total: float, norm: float, count: float) -> bool:
        """Whether the numbers of a step are finite, so that it may change the weights.

        fp16 gradients that overflowed halve the loss scale. Otherwise a few such steps are passed over (a damaged row,
        a fault of the machine), unless the weights are no longer finite themselves: then so is all that follows.
        """
        progress, fp16 = self.progress, self.precision.name == "fp16"
        if math.isfinite(total) and math.isfinite(norm):
            progress.skipped_in_a_row = 0
            progress.steps_since_overflow += 1
            if fp16 and progress.steps_since_overflow % _SCALE_GROWTH_STEPS == 0:
                progress.loss_scale *= 2
            return True
        if not progress.skipped_in_a_row:
            self.before_skips = asdict(progress), self.best
        progress.skipped += 1
        if fp16 and math.isfinite(total) and progress.loss_scale * max(count, 1.0) >= 2:
            progress.loss_scale /= 2
            progress.steps_since_overflow = 0
            return False
        progress.skipped_in_a_row += 1
        if progress.skipped_in_a_row < self.options.max_skipped and self.optimizer.is_finite():
            return False
        what = "the gradient is not finite" if math.isfinite(total) else f"the loss is {total}"
        before = progress.skipped_in_a_row - 1
        as_before = f", as at the {before} before it" if before else ""
        longer = "" if math.isfinite(total) else ", a longer --warmup"
        narrow = ", or --precision fp32" if fp16 or not math.isfinite(total) else ""
        raise TrainingError(
            f"{what} at step {progress.step + 1}{as_before}: training stopped before the update; "
            f"try a smaller --lr (it is {self.options.lr:g}){longer}{narrow}"
        )

    def _decay_unused_rows(self, lr: float) -> None:
        assert self.live_rows is not None
        factor = self.options.layer_decay ** (self.model.config.num_hidden_layers + 1)
        self.progress.unused_row_decay *= 1 - lr * factor * self.options.weight_decay
        self.live_rows.decay = self.progress.unused_row_decay

    def expected_steps(self) -> float:
        """How many steps there will be in all, as far as that is known now; at least one more."""
        plan, progress = self.plan, self.progress
        pace = progress.seconds / max(1, progress.step)
        expected = self.options.expected_steps(plan.steps_per_epoch, plan.tokens_per_epoch, pace)
        soonest = progress.step + 1.0
        return soonest if math.isinf(expected) else max(expected, soonest)

    def stop_reached(self) -> str:
        """Why training is over, or an empty string."""
        options, progress = self.options, self.progress
        if progress.stopped:
            return progress.stopped
        planned = options.planned_steps(self.plan.steps_per_epoch)
        if planned is not None and progress.step >= planned:
            return f"{progress.step:,} steps, {progress.step / self.plan.steps_per_epoch:.3g} epochs"
        if options.tokens is not None and progress.tokens >= options.tokens:
            return f"{progress.tokens:,} tokens"
        if options.minutes is not None and progress.seconds >= 60 * options.minutes:
            return f"{options.minutes:g} minutes"
        return ""

    def agree(self, stopped: str) -> str:
        """Why training is over, or an empty string: the first process says so for all."""
        over = self.processes.of_first(0.0 if not stopped else 2.0 if stopped == INTERRUPTED else 1.0)
        match over:
            case 0.0:
                return ""
            case 2.0:
                return INTERRUPTED
        return stopped if stopped not in ("", INTERRUPTED) else "the first process stopped"

    def start_alike(self) -> None:
        """Make sure that all processes start from the same weights, moments and step: those of the first.

        Raises `TrainingError` where another step was resumed than by the first process.
        """
        first = self.processes.of_first(float(self.progress.step))
        if self.processes.total(float(first != self.progress.step)):
            raise TrainingError(
                f"process {self.processes.rank} is at step {self.progress.step:,}, and the first one at {first:,.0f}: "
                f"they found different saved states; --out must be on a disk that all processes share"
            )
        if self.processes.number > 1:
            self.optimizer.as_first(self.processes)

    def end_interval(self) -> dict[str, Any]:
        """The log's line of the steps since the last one."""
        interval, progress = self.progress.interval, self.progress
        counts = {name.removesuffix(".count"): count for name, count in interval.items() if name.endswith(".count")}
        progress.interval = {}
        return {
            "step": progress.step,
            "planned_steps": progress.step if self.stop_reached() else math.ceil(self.expected_steps()),
            "epoch": round(progress.step / self.plan.steps_per_epoch, 4),
            **{name: interval[name] / count if count else math.nan for name, count in counts.items()},
            "lr": interval["lr"],
            "gradient_norm": interval["gradient_norm"],
            **({"skipped": progress.skipped} if progress.skipped else {}),
            "tokens_per_second": interval["tokens"] / interval["seconds"],
        }

    def keep_as_best(self, value: float) -> None:
        """Note this step as the best so far, and with ``keep_best`` its weights."""
        progress = self.progress
        progress.best_step, progress.best_value = progress.step, value
        progress.best_unused_row_decay = progress.unused_row_decay
        if self.options.keep_best:
            self.best = self.optimizer.snapshot()

    def state(self, *, last: bool = False, broken_off: bool = False, failed: bool = False) -> State:
        """The last good moment, to go on from later: this one, or the one before steps that were passed over.

        Its tensors are in use: copy them before the next step.
        """
        skipping = self.before_skips if self.progress.skipped_in_a_row else None
        values, best = skipping or (asdict(self.progress), self.best)
        tensors = self.optimizer.state()
        tensors |= {f"best.{index}": weights for index, weights in enumerate(best or [])}
        return State(tensors, values, last, broken_off, failed)

    def restore(self, state: State) -> None:
        """Go on from a saved moment."""
        fresh = self.progress
        self.progress = Progress(**copy.deepcopy(dict(state.values)))
        if self.progress.precision != fresh.precision:  # the loss scale is that of the format
            self.progress.precision, self.progress.loss_scale = fresh.precision, fresh.loss_scale
            self.progress.steps_since_overflow = 0
        self.optimizer.restore(state.tensors, self.progress.updates)
        num_best = sum(name.startswith("best.") for name in state.tensors)
        self.best = [state.tensors[f"best.{index}"] for index in range(num_best)] or None
        if self.live_rows is not None:
            self.live_rows.decay = self.progress.unused_row_decay

    def use_best(self) -> None:
        """Take the best weights back, if they were kept."""
        if self.best is not None:
            self.optimizer.load_weights(self.best)
            if self.live_rows is not None:
                self.live_rows.decay = self.progress.best_unused_row_decay
        if self.processes.number > 1:  # only the first evaluates
            self.optimizer.as_first(self.processes)

    def release(self) -> None:
        """Leave the model as an ordinary one: fp32 weights of its own, and the whole embedding."""
        self.optimizer.release()
        if self.live_rows is not None:
            self.model.encoder.embeddings.word = self.live_rows.whole()
