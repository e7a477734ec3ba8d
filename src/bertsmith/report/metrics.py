"""``metrics.json``: the numbers of a run in one file.

Enters: what the loop counted and the eval split's scores. Leaves: one JSON object. Knows nothing of how the scores are
computed.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bertsmith.files import write_json

METRICS_NAME = "metrics.json"


@dataclass(frozen=True)
class RunMetrics:
    """What ``metrics.json`` tells.

    scores:           of the eval split, under ``eval`` in the file
    metric:           the score that keep-best and early stopping looked at
    best_step:        after which that score was best; ``None`` where nothing was evaluated
    examples, tokens: trained on within ``train_seconds``, every epoch counted
    parameters:       number of weights of the model
    baseline:         scores of a guess that takes no model
    refit:            where the model was trained again on train + eval: what that came to; the rest tells of the tuning
    """

    task: str
    scores: Mapping[str, float]
    metric: str
    best_step: int | None
    train_seconds: float
    examples: int
    tokens: int
    steps: int
    epochs: float
    device: str
    precision: str
    parameters: int
    settings: Mapping[str, Any]
    refit: Mapping[str, float] | None = None
    baseline: Mapping[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Values under the names of the file, with rates and versions."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            "eval": values.pop("scores"),
            **values,
            "train_seconds": round(self.train_seconds, 3),
            "examples_per_second": per_second(self.examples, self.train_seconds),
            "tokens_per_second": per_second(self.tokens, self.train_seconds),
            "versions": versions(),
        }


def write_metrics(folder: Path | str, metrics: RunMetrics) -> None:
    """Write ``folder/metrics.json`` in one move. Raises `OutputError` when the folder cannot be written to."""
    write_json(Path(folder) / METRICS_NAME, metrics.as_json())


def per_second(count: float, seconds: float) -> float:
    """``count / seconds``, and 0 when no time was spent."""
    return round(count / seconds, 2) if seconds > 0 else 0.0


def versions() -> dict[str, str]:
    """Versions of what decides the numbers of a run."""
    found = {"python": platform.python_version()}
    for package in ("bertsmith", "torch", "tokenizers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout on the path instead of an installed package
            found[package] = "unknown"
    return found


def describe_machine(device: str, precision: str) -> dict[str, str]:
    """Rows for the report's table of what the run ran on: hardware in few words, then versions."""
    hardware = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device}, {os.cpu_count()} cores"
    return {
        "device": hardware,
        "precision": precision,
        "system": f"{platform.system()} {platform.machine()}",
        **versions(),
    }
