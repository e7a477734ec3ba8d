from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.report.metrics import RunMetrics, describe_machine, versions, write_metrics


@dataclass(frozen=True)
class Options:
    lr: float
    out: Path
    freeze: tuple[str, ...]


def metrics(**changes: Any) -> RunMetrics:
    return RunMetrics(
        **{
            "task": "classify",
            "scores": {},
            "metric": "mcc",
            "best_step": 80,
            "train_seconds": 20.0,
            "examples": 3200,
            "tokens": 41_000,
            "steps": 100,
            "epochs": 1.5,
            "device": "cpu",
            "precision": "bf16",
            "parameters": 22_713_216,
            "settings": {},
            **changes,
        }
    )


def test_what_other_tools_rely_on(tmp_path: Path) -> None:
    scores = {"mcc": np.float64(0.34), "accuracy": torch.tensor(0.75), "f1": 0.8, "ece": float("nan")}
    settings = {"train": Options(2e-5, Path("runs/x"), ("embeddings",))}
    write_metrics(tmp_path, metrics(scores=scores, settings=settings))
    held = json.loads((tmp_path / "metrics.json").read_text())
    assert held["eval"] == {"mcc": 0.34, "accuracy": 0.75, "f1": 0.8, "ece": None}
    assert held["train_seconds"] == 20.0
    assert held["examples_per_second"] == 160.0
    assert held["tokens_per_second"] == 2050.0
    assert (held["steps"], held["epochs"], held["best_step"]) == (100, 1.5, 80)
    assert held["settings"] == {"train": {"lr": 2e-5, "out": "runs/x", "freeze": ["embeddings"]}}
    assert held["versions"]["torch"] == torch.__version__
    assert (held["device"], held["precision"], held["parameters"]) == ("cpu", "bf16", 22_713_216)


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_a_run_of_no_time_divides_by_nothing(tmp_path: Path, seconds: float) -> None:
    write_metrics(tmp_path, metrics(train_seconds=seconds, examples=0, tokens=0, steps=0, epochs=0.0))
    assert json.loads((tmp_path / "metrics.json").read_text())["tokens_per_second"] == 0.0


def test_versions_name_the_package() -> None:
    assert versions()["bertsmith"] != "unknown"


def test_the_machine_is_told_by_what_decides_the_numbers() -> None:
    told = describe_machine("cpu", "bf16")
    assert told["precision"] == "bf16"
    assert told["torch"] == torch.__version__
    assert all(told.values())
