"""The most that this machine computes: what a speed is a share of.

Enters: a precision. Leaves: operations a second of one large matrix product, the fastest thing a processor does.
"""

from __future__ import annotations

import time

import torch

from bertsmith.training.precision import Precision

_WIDTHS = {"cpu": 1024}  # of the matrices; large enough for full speed, and small enough to take a moment
_GPU_WIDTH = 8192
_SECONDS = 0.4


def measure_peak(precision: Precision) -> float:
    """Floating-point operations a second of square products, the best of those that fit in half a second.

    The best, not the mean: other programs may slow this one down for a while, and the machine is none the slower.
    """
    device = precision.device
    width = _WIDTHS.get(device.type, _GPU_WIDTH)
    # Random numbers: a GPU computes with ones at a lower power, and so faster than it ever will again.
    one = torch.randn(width, width, device=device).to(precision.dtype)
    out = torch.empty_like(one)
    torch.mm(one, one, out=out)  # makes the kernel
    _wait(device)
    began = time.perf_counter()
    best = float("inf")
    while time.perf_counter() - began < _SECONDS:
        started = time.perf_counter()
        torch.mm(one, one, out=out)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * width**3 / best


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
