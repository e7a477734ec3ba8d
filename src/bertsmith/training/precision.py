"""Number formats of training and inference: which one this processor is fast in, and how to compute in it.

Weights and optimizer state stay in fp32; matrix products run in the chosen format (Micikevicius et al. 2018).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import torch

from bertsmith.errors import SettingsError
from bertsmith.training.options import PrecisionName, check_name

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A format on a device; ``why`` is a short reason for the log."""

    name: PrecisionName
    device: torch.device
    why: str

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.name]

    @contextmanager
    def compute(self) -> Iterator[None]:
        """Matrix products inside run in this format; fp32 is not TF32, unless the process has turned that on."""
        if self.name == "fp32":
            yield
        else:
            with torch.autocast(self.device.type, dtype=self.dtype):
                yield


def choose_precision(name: PrecisionName, device: torch.device) -> Precision:
    """The named precision, or for "auto" the fastest that trains well on ``device``. fp16 needs a GPU."""
    check_name("precision", name, get_args(PrecisionName))
    if name == "fp16" and device.type == "cpu":
        raise SettingsError("fp16 is very slow on a CPU; use --precision bf16 or fp32")
    if name != "auto":
        return Precision(name, device, "as asked")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", device, "this GPU computes bf16")
        return Precision("fp16", device, "this GPU has no bf16")
    if device.type == "cpu" and cpu_has_bf16():
        return Precision("bf16", device, "this processor computes bf16")
    return Precision("fp32", device, "no faster format here")


def cpu_has_bf16() -> bool:
    """True where the processor multiplies bf16 in hardware (AVX512-BF16 or AMX), and not by emulation."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or for "auto" the first GPU of CUDA when there is one.

    Raises `SettingsError` for what is no device to train on, and for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    found = re.fullmatch(r"([a-z]+)(?::(0|[1-9][0-9]*))?", name)
    if not found or found[1] not in counts:
        raise SettingsError(f"--device {name!r} is not a device; use cpu, cuda, cuda:N or mps")
    count = counts[found[1]]
    if not count:
        raise SettingsError(f"--device {name}: no GPU is visible; use --device cpu")
    if int(found[2] or 0) >= count:
        raise SettingsError(f"--device {name}: the last one here is {found[1]}:{count - 1}")
    return torch.device(name)
