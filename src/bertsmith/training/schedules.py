"""Learning-rate schedules: how far along training is -> the learning rate.

The shapes and their names are those of `transformers`' schedulers, so that a recipe carries over number for number;
``decay_steps`` is TensorFlow's, for recipes of google-research/bert.
"""

from __future__ import annotations

import math

from bertsmith.training.options import FitOptions


def learning_rate(options: FitOptions, step: int, total_steps: float) -> float:
    """The rate of optimizer step ``step`` (from 0) out of ``total_steps``.

    >>> options = FitOptions(steps=100, lr=1.0, warmup=10, schedule="linear")
    >>> [learning_rate(options, step, 100) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if options.schedule == "constant":
        return options.lr
    warmup = warmup_steps(options, total_steps)
    if step < warmup:
        return options.lr * step / max(1, warmup)
    if options.decay_steps is None:
        done = min(1.0, (step - warmup) / max(1.0, total_steps - warmup))
    else:  # PolynomialDecay counts from step 0; the warm-up hides the first part of its fall
        done = min(1.0, step / options.decay_steps)
    return options.end_lr + (options.lr - options.end_lr) * _shape(options, done)


def warmup_steps(options: FitOptions, total_steps: float) -> int:
    """Steps of warm-up: as given, or a share of all steps, rounded up."""
    return math.ceil(options.warmup * total_steps) if options.warmup < 1 else int(options.warmup)


def _shape(options: FitOptions, done: float) -> float:
    """From 1 at ``done`` 0 towards 0 at ``done`` 1, where the schedule falls."""
    match options.schedule:
        case "constant" | "constant_with_warmup":
            return 1.0
        case "linear":
            return 1 - done
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "cosine_with_restarts":  # Loshchilov and Hutter 2017, without lengthening the cycles
            return 0.0 if done >= 1 else 0.5 * (1 + math.cos(math.pi * ((options.cycles * done) % 1)))
        case "polynomial":
            return float((1 - done) ** options.power)
