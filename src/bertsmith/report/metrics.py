"""``metrics.json``: the numbers of a run in one file.

Enters: what the loop counted and the eval split's scores. Leaves: one JSON object. Knows nothing of how the scores are
computed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertsmith.files import write_text
from bertsmith.report.plain import dump_json, plain

METRICS_NAME = "metrics.json"


def write_metrics(
    folder: Path | str,
    *,
    scores: Mapping[str, float],
    train_seconds: float,
    examples: int,
    tokens: int,
    steps: int,
    epochs: float,
    device: str,
    precision: str,
    parameters: int,
    task: str = "",
    metric: str = "",
    best_step: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``folder/metrics.json`` in one move, and return what it holds.

    examples, tokens: trained on within ``train_seconds``, every epoch counted
    scores:           of the eval split, under ``eval`` in the file
    parameters:       number of weights of the model

    Raises `OutputError` when the folder cannot be written to.
    """
    held: dict[str, Any] = plain(
        {
            "task": task,
            "eval": scores,
            "metric": metric,
            "best_step": best_step,
            "train_seconds": round(train_seconds, 3),
            "examples_per_second": per_second(examples, train_seconds),
            "tokens_per_second": per_second(tokens, train_seconds),
            "examples": examples,
            "tokens": tokens,
            "steps": steps,
            "epochs": epochs,
            "device": device,
            "precision": precision,
            "parameters": parameters,
            "settings": settings or {},
            "versions": versions(),
        }
    )
    write_text(Path(folder) / METRICS_NAME, dump_json(held, indent=2) + "\n")
    return held


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


def describe_environment(*, device: str, precision: str) -> dict[str, str]:
    """Rows for the report's table of what the run ran on: hardware in few words, then versions."""
    return {
        "device": device,
        "precision": precision,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count() or "unknown"),
        **versions(),
    }
