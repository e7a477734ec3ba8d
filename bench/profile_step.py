"""Where a training step's time goes: our fine-tuning loop under torch's profiler, and the page faults of each step.

    python bench/profile_step.py [--data ../shared/data] [--steps 100]

The first steps are not profiled: kernels are being made, and memory is fetched from the system.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np
from torch.profiler import ProfilerActivity, profile

from finetune import make_stepper, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    ids, labels = read(given.data)
    stepper = make_stepper(ids, labels)
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
