"""Runs as plain data, for every test of what is written about them."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.report.record import Curves, Report, Split
from bertsmith.tasks.insight import Breakdown, Classes, Insight, Mistake, Regression
from bertsmith.tasks.metrics import class_calibration


def make_classes(num_classes: int, num_examples: int = 90, seed: int = 0) -> Classes:
    random = np.random.default_rng(seed)
    gold = random.integers(0, num_classes, num_examples)
    logits = random.normal(0, 1.0, (num_examples, num_classes))
    logits[np.arange(num_examples), gold] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [f"class {i}" for i in range(num_classes)]
    return Classes(labels, gold, probabilities.argmax(axis=1), probabilities)


@pytest.fixture(scope="session")
def full_report() -> Report:
    """A report in which every part is given."""
    random = np.random.default_rng(1)
    gold = random.uniform(0, 5, 50)
    return Report(
        title="A run",
        command="bertsmith finetune --task classify --train 'a b.tsv' --out runs/x",
        task="classify",
        model="starter",
        headline={"mcc": 0.3456, "accuracy": 0.75, "loss": 0.5},
        settings={"batch_size": 32, "freeze": None, "bf16": True},
        splits=[
            Split("train", 300, random.integers(3, 64, 300), 7, {"yes": 200, "no": 100}, "train.tsv"),
            Split("eval", 90, random.integers(3, 64, 90), 0, {"yes": 60, "no": 30}, "dev.tsv"),
        ],
        max_length=64,
        findings=["3 texts of train occur more than once."],
        curves=Curves(
            [(step, 1 / step) for step in range(1, 60)],
            [(step, 1e-5 * step) for step in range(1, 60)],
            [(step, {"loss": 2 / step, "mcc": step / 100}) for step in (20, 40, 59)],
        ),
        metric="mcc",
        best_step=40,
        insight=Insight(
            classes=make_classes(2),
            calibration=class_calibration(make_classes(2).probabilities, make_classes(2).gold),
            regression=Regression(gold, gold + random.normal(0, 0.3, 50)),
            breakdowns=[Breakdown("Scores by type", "type", ["precision", "support"], [("LOC", (0.912, 1234))])],
            mistakes=[Mistake("A wrong one.", "yes", "no", 0.987, "its pair")],
        ),
        timing={"training": "1:58"},
        environment={"torch": "2.13.0"},
    )
