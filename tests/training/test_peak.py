"""What the machine can compute: a number that training cannot pass."""

from __future__ import annotations

import math

import pytest
import torch

from bertsmith.training.peak import measure_peak
from bertsmith.training.precision import Precision


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_it_is_a_rate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertsmith.training.peak._SECONDS", 0.01)
    peak = measure_peak(Precision(name, torch.device("cpu"), "for a test"))  # type: ignore[arg-type]
    assert math.isfinite(peak)
    assert peak > 1e7  # any processor does more than ten million operations a second
