"""How to train: every number the loop obeys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from bertsmith.errors import SettingsError, nearest
from bertsmith.settings import also_named

OptimizerName = Literal["adamw", "adam_weight_decay", "lamb", "muon"]
Schedule = Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class FitOptions:
    """Options of `fit`, as the command line and TOML files name them. The first stop that is reached ends training."""

    epochs: float | None = None
    """Stop after this many passes over the rows, or fractions of one; finetune takes 3 unless a stop is given."""
    steps: Annotated[int | None, also_named("num_train_steps", "max_steps")] = None
    """Stop after this many optimizer steps."""
    minutes: float | None = None
    """Stop after this many minutes of training, evaluations and saves not counted; the schedule follows the clock."""
    tokens: int | None = None
    """Stop after training on this many tokens."""

    batch_size: Annotated[int, also_named("train_batch_size")] = 32
    """Rows in an optimizer step."""
    pass_tokens: int = 8192
    """Most tokens computed at once; a larger batch is accumulated over several passes, with the same gradient."""
    seed: int = 42
    """Decides the order of rows, the new weights of the head, and dropout: same bytes on a CPU with as many threads."""

    optimizer: OptimizerName = "adamw"
    """Rule of the update; adam_weight_decay is the published BERT's, muon is for matrices, with adamw for the rest."""
    lr: Annotated[float, also_named("learning_rate")] = 5e-5
    """Peak learning rate."""
    weight_decay: float = 0.01
    """Decay of the weights, biases and LayerNorm excepted."""
    beta1: float = 0.9
    """Memory of the gradient; 0.95 in any case for matrices under muon."""
    beta2: float = 0.999
    """Memory of its square."""
    eps: float = 1e-8
    """Floor under the square root; adam_weight_decay and lamb were published with 1e-6."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 turns clipping off."""
    max_skipped: int = 5
    """Steps in a row that may be passed over, because their loss or gradient is not finite, before training stops."""

    schedule: Schedule = "linear"
    """Shape of the learning rate after the warm-up."""
    warmup: Annotated[float, also_named("warmup_steps")] = 0.06
    """Steps of warm-up when 1 or more (a whole number), a share of all steps when less."""
    end_lr: Annotated[float, also_named("end_learning_rate")] = 0.0
    """Where the learning rate ends, but for constant schedules."""
    power: float = 1.0
    """Power of the polynomial schedule."""
    decay_steps: int | None = None
    """Step at which a polynomial schedule ends, which then falls from step 0, as TensorFlow's, not from the warm-up."""
    cycles: int = 1
    """Restarts of cosine_with_restarts."""

    freeze: str = ""
    """What does not learn: "embeddings", layers by number or range, or "encoder"; as in "embeddings,0-3"."""
    layer_decay: float = 1.0
    """Each layer learns at this factor of the rate of the one above it; 1 means all alike."""

    eval_every: int = 0
    """Steps between evaluations; 0 means at the end of each epoch."""
    save_every: int = 0
    """Steps between saves of what --resume goes on from; 0 means at ends of epochs, and every few minutes."""
    keep_best: bool = False
    """End with the weights of the best evaluation, not the last."""
    patience: int = 0
    """Stop early after this many evaluations without a better score; 0 never does."""
    log_every: int = 10
    """Steps between lines of the log."""

    precision: PrecisionName = "auto"
    """Number format of matrix products; auto is bf16 where the processor computes it."""
    recompute: bool = False
    """Gradient checkpointing: less memory for about a third more time."""

    def __post_init__(self) -> None:
        check_name("optimizer", self.optimizer, get_args(OptimizerName))
        check_name("schedule", self.schedule, get_args(Schedule))
        check_name("precision", self.precision, get_args(PrecisionName))
        for name in ("epochs", "steps", "minutes", "tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"--{name} is {value:g}; it must be more than 0, and finite")
        for name in ("batch_size", "pass_tokens", "log_every", "cycles", "max_skipped"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("seed", "eval_every", "save_every", "patience"):
            self._require(name, 0 <= getattr(self, name) < 2**63, "0 or more, and under 2^63")
        for name in ("weight_decay", "clip_norm", "warmup", "end_lr"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "0 or more, and finite")
        for name in ("lr", "eps", "power"):
            self._require(name, 0 < getattr(self, name) < math.inf, "more than 0, and finite")
        for name in ("beta1", "beta2"):
            self._require(name, 0 <= getattr(self, name) < 1, "0 or more and under 1")
        self._require("warmup", self.warmup < 1 or self.warmup == int(self.warmup), "whole when it is 1 or more")
        self._require("layer_decay", 0 < self.layer_decay <= 1, "over 0 and at most 1")
        self._require("end_lr", self.end_lr <= self.lr, f"at most --lr, {self.lr:g}")
        if self.decay_steps is not None:
            self._require("decay_steps", self.decay_steps >= 1, "1 or more")
            if self.schedule != "polynomial":
                raise SettingsError(f"--decay-steps is for --schedule polynomial; the schedule is {self.schedule}")

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise SettingsError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be {what}")

    @property
    def rows_learn_alone(self) -> bool:
        """Whether a row of the embedding learns from its own gradient alone, and not from the norm of the table."""
        return self.optimizer != "lamb"

    @property
    def has_stop(self) -> bool:
        """Whether anything says when training ends."""
        return any(stop is not None for stop in (self.epochs, self.steps, self.minutes, self.tokens))

    def planned_steps(self, steps_per_epoch: int) -> int | None:
        """Optimizer steps as far as steps and epochs decide them; ``None`` where only time or tokens do."""
        planned = [] if self.steps is None else [self.steps]
        if self.epochs is not None:
            planned.append(max(1, round(self.epochs * steps_per_epoch)))
        return min(planned, default=None)

    def expected_steps(self, steps_per_epoch: int, tokens_per_epoch: int, step_seconds: float) -> float:
        """Optimizer steps until the first stop, if each takes so many seconds.

        With 0 seconds, for a pace that is not known, minutes are no stop; infinite where there is no other.
        """
        planned = self.planned_steps(steps_per_epoch)
        expected = [math.inf if planned is None else float(planned)]
        if self.tokens is not None:
            expected.append(self.tokens * steps_per_epoch / tokens_per_epoch)
        if self.minutes is not None and step_seconds:
            expected.append(60 * self.minutes / step_seconds)
        return min(expected)


@dataclass(frozen=True)
class PretrainFitOptions(FitOptions):
    """Options of `fit`, with what pretraining takes unless it is told otherwise."""

    lr: Annotated[float, also_named("learning_rate")] = 1e-4
    """Peak learning rate; small encoders take 5e-4 to 1e-3."""
    warmup: Annotated[float, also_named("warmup_steps")] = 0.1
    """Steps of warm-up when 1 or more (a whole number), a share of all steps when less."""
    eval_every: int = 1000
    """Steps between evaluations on the held-out documents; 0 means at the end of each epoch."""


def check_name(option: str, name: str, valid: tuple[str, ...]) -> None:
    """Raise `SettingsError` for a name that an option does not know."""
    if name not in valid:
        raise SettingsError(f"--{option} {name!r} is not known; {nearest(str(name), valid)}")
