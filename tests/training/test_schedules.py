"""Learning rates against transformers' schedulers, and TensorFlow's with decay steps, number for number."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bertsmith.training import FitOptions
from bertsmith.training.schedules import learning_rate, warmup_steps

transformers = pytest.importorskip("transformers")

# Our options, and what transformers calls the same.
CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"schedule": "constant"}, "constant", {}),
    ({"schedule": "constant_with_warmup"}, "constant_with_warmup", {}),
    ({"schedule": "linear"}, "linear", {}),
    ({"schedule": "cosine"}, "cosine", {}),
    ({"schedule": "cosine_with_restarts"}, "cosine_with_restarts", {}),
    ({"schedule": "cosine_with_restarts", "cycles": 3}, "cosine_with_restarts", {"num_cycles": 3}),
    ({"schedule": "polynomial", "end_lr": 1e-7}, "polynomial", {}),
    ({"schedule": "polynomial", "end_lr": 1e-5, "power": 2.0}, "polynomial", {"lr_end": 1e-5, "power": 2.0}),
    ({"schedule": "polynomial", "end_lr": 0.0, "power": 0.5}, "polynomial", {"lr_end": 0.0, "power": 0.5}),
    ({"schedule": "cosine", "end_lr": 2e-5}, "cosine_with_min_lr", {"min_lr": 2e-5}),
]


@pytest.mark.parametrize(("warmup", "total"), [(0, 40), (7, 40), (40, 40), (1, 2), (50, 40)])
@pytest.mark.parametrize(("fields", "name", "arguments"), CASES)
def test_rates_are_those_of_transformers(
    fields: dict[str, Any], name: str, arguments: dict[str, Any], warmup: int, total: int
) -> None:
    options = FitOptions(lr=3e-4, warmup=warmup, steps=total, **fields)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    schedule = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=arguments
    )
    for step in range(total):
        assert learning_rate(options, step, total) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-15), (
            step
        )
        optimizer.step()
        if step + 1 < total:
            schedule.step()


def test_warm_up_is_in_steps_or_a_share_rounded_up_as_transformers_does() -> None:
    for warmup, total, expected in [(0, 10, 0), (3, 10, 3), (0.25, 10, 3), (0.1, 10, 1), (0.06, 101, 7), (1, 10, 1)]:
        assert warmup_steps(FitOptions(warmup=warmup), total) == expected
    arguments = transformers.TrainingArguments
    for share in (0.06, 0.1, 0.33):
        theirs = arguments.get_warmup_steps(type("_", (), {"warmup_steps": share, "warmup_ratio": share})(), 101)
        assert warmup_steps(FitOptions(warmup=share), 101) == theirs


def test_an_end_may_be_a_fraction_and_rates_beyond_it_stay_there() -> None:
    options = FitOptions(lr=1.0, warmup=0, end_lr=0.25)
    assert learning_rate(options, 5, 7.5) == pytest.approx(0.25 + 0.75 / 3)
    assert learning_rate(options, 9, 7.5) == 0.25
    for schedule in ("linear", "cosine", "cosine_with_restarts", "polynomial"):
        assert learning_rate(FitOptions(lr=1.0, warmup=0, schedule=schedule), 8, 7.5) == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize(("warmup", "decay_steps"), [(0, 30), (7, 30), (7, 1), (12, 10), (7, 100)])
@pytest.mark.parametrize(("end_lr", "power"), [(0.0, 1.0), (1e-5, 1.0), (1e-5, 2.0), (0.0, 0.5)])
def test_decay_steps_count_as_tensorflow_does(warmup: int, decay_steps: int, end_lr: float, power: float) -> None:
    """optimization.py of google-research/bert: polynomial_decay from step 0, and a warm-up in place of its start."""
    options = FitOptions(
        lr=3e-4, warmup=warmup, steps=40, schedule="polynomial", end_lr=end_lr, power=power, decay_steps=decay_steps
    )
    for step in range(40):
        left = 1 - min(step, decay_steps) / decay_steps
        expected = 3e-4 * step / warmup if step < warmup else (3e-4 - end_lr) * left**power + end_lr
        assert learning_rate(options, step, 40) == pytest.approx(expected, rel=1e-12, abs=1e-20), step
