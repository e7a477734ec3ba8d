"""Where a training step's time goes: our fine-tuning loop under torch's profiler, and the page faults of each step.

    python bench/profile_step.py --data ../shared/data/cola/raw [--steps 100]

The first steps are not profiled: kernels are being made, and memory is fetched from the system.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from torch.profiler import ProfilerActivity, profile

from bertsmith.engine import TaskModel
from bertsmith.tasks import Classify, Encoded
from bertsmith.text.ragged import Ragged, bounds_of
from bertsmith.training import BatchPlan, FitOptions
from bertsmith.training.memory import keep_freed_memory
from bertsmith.training.step import Stepper
from finetune import read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with CoLA's in_domain_train.tsv")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    ids, labels = read(given.data)
    flat = np.concatenate([np.array(row, dtype=np.int32) for row in ids])
    bounds = bounds_of([len(row) for row in ids])
    ragged = Ragged(flat, np.zeros(len(flat), np.uint8), bounds, np.zeros(len(ids), np.int32))
    rows = Encoded(ragged, np.arange(len(ids) + 1), {"label": np.array(labels)})
    model = TaskModel.start("starter", Classify(labels=("0", "1")), max_length=128, seed=0)
    options = FitOptions(lr=2e-5, epochs=4)
    keep_freed_memory()
    stepper = Stepper(
        model.model,
        BatchPlan(rows, options),
        lambda network, batch: model.task.loss(network(batch).float(), batch),
        options,
        model.precision,
    )
    model.model.train()
    taken, faults = [], []
    for _ in range(given.steps):
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        stepper.take()
        taken.append(1000 * (time.perf_counter() - started))
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    half = given.steps // 2
    for name, part in (("first half", slice(0, half)), ("second half", slice(half, None))):
        print(f"{name}: {np.median(taken[part]):.1f} ms a step, {np.mean(faults[part]):.0f} page faults")
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(20):
            stepper.take()
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=48))


if __name__ == "__main__":
    main()
