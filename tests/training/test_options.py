"""Options: impossible values are one line that names the option, and stops become steps."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.errors import SettingsError
from bertsmith.training import FitOptions


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "--epochs is 0; it must be more than 0, and finite"),
        ({"steps": -3}, "--steps is -3; it must be more than 0, and finite"),
        ({"minutes": float("nan")}, "--minutes is nan; it must be more than 0, and finite"),
        ({"tokens": 0}, "--tokens is 0; it must be more than 0, and finite"),
        ({"batch_size": 0}, "--batch-size is 0; it must be 1 or more"),
        ({"pass_tokens": 0}, "--pass-tokens is 0; it must be 1 or more"),
        ({"log_every": 0}, "--log-every is 0; it must be 1 or more"),
        ({"cycles": 0}, "--cycles is 0; it must be 1 or more"),
        ({"seed": -1}, "--seed is -1; it must be 0 or more, and under 2^63"),
        ({"weight_decay": -0.1}, "--weight-decay is -0.1; it must be 0 or more, and finite"),
        ({"clip_norm": -1.0}, "--clip-norm is -1.0; it must be 0 or more, and finite"),
        ({"warmup": -1}, "--warmup is -1; it must be 0 or more, and finite"),
        ({"warmup": 1.5}, "--warmup is 1.5; it must be whole when it is 1 or more"),
        ({"patience": -1}, "--patience is -1; it must be 0 or more, and under 2^63"),
        ({"lr": float("inf")}, "--lr is inf; it must be more than 0, and finite"),
        ({"epochs": float("inf")}, "--epochs is inf; it must be more than 0, and finite"),
        ({"seed": 2**63}, "--seed is 9223372036854775808; it must be 0 or more, and under 2^63"),
        ({"lr": 0.0}, "--lr is 0.0; it must be more than 0, and finite"),
        ({"lr": float("nan")}, "--lr is nan; it must be more than 0, and finite"),
        ({"eps": 0.0}, "--eps is 0.0; it must be more than 0, and finite"),
        ({"power": 0.0}, "--power is 0.0; it must be more than 0, and finite"),
        ({"beta1": 1.0}, "--beta1 is 1.0; it must be 0 or more and under 1"),
        ({"beta2": -0.1}, "--beta2 is -0.1; it must be 0 or more and under 1"),
        ({"layer_decay": 0.0}, "--layer-decay is 0.0; it must be over 0 and at most 1"),
        ({"layer_decay": 1.1}, "--layer-decay is 1.1; it must be over 0 and at most 1"),
        ({"schedule": "consine"}, "--schedule 'consine' is not known; did you mean 'cosine'?"),
        ({"precision": "bf61"}, "--precision 'bf61' is not known; did you mean 'bf16'?"),
        ({"end_lr": 1.0}, "--end-lr is 1.0; it must be at most --lr, 5e-05"),
        ({"optimizer": "lamp"}, "--optimizer 'lamp' is not known; did you mean 'lamb'?"),
        ({"schedule": "polynomial", "decay_steps": 0}, "--decay-steps is 0; it must be 1 or more"),
        ({"decay_steps": 100}, "--decay-steps is for --schedule polynomial; the schedule is linear"),
    ],
)
def test_impossible_values_are_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        FitOptions(**fields)
    assert str(caught.value) == message


def test_the_defaults_are_possible_and_have_no_stop() -> None:
    assert not FitOptions().has_stop
    for stop in ("epochs", "steps", "minutes", "tokens"):
        assert FitOptions(**{stop: 1}).has_stop


@pytest.mark.parametrize(
    ("fields", "planned"),
    [
        ({}, None),
        ({"minutes": 3.0, "tokens": 100}, None),
        ({"steps": 7}, 7),
        ({"epochs": 2}, 20),
        ({"epochs": 0.5}, 5),
        ({"epochs": 1.26}, 13),
        ({"epochs": 0.001}, 1),
        ({"epochs": 2, "steps": 7}, 7),
        ({"epochs": 0.5, "steps": 7}, 5),
    ],
)
def test_steps_and_epochs_plan_the_steps(fields: dict[str, Any], planned: int | None) -> None:
    assert FitOptions(**fields).planned_steps(steps_per_epoch=10) == planned
