"""Fine-tuning speed, side by side: our loop against transformers, on the same weights, data, batches and machine.

    python bench/finetune.py [--data ../shared/data] [--rounds 8]

Three loops train the starter encoder on CoLA, 32 sentences a step, each in a process of its own that waits while the
others work; they take turns, a block of steps each, so that a machine that slows down slows all of them.

    tutorial   the loop of the well-known CoLA tutorial: padded to 64, fp32, AdamW as it comes
    best       transformers at its best here: padded to the longest of the batch, bf16 autocast, fused AdamW
    bertsmith  `fit` with its defaults

Printed: milliseconds a step (median over rounds) and the ratio to ours, round by round. No loop is charged for
tokenizing; all are charged for making batches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bertsmith.training.step import Stepper

BATCH = 32
LOOPS = {"tutorial": 6, "best": 24, "bertsmith": 48}  # steps in a block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--loop", choices=list(LOOPS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        serve(given.loop, given.data)
    else:
        compare(given.data, given.rounds)


def compare(data: Path, rounds: int) -> None:
    """Let the loops take turns, and print what each took."""
    import bertsmith  # noqa: F401  (sets how long threads spin, which all loops inherit: it speeds up the peers too)

    workers = {
        loop: subprocess.Popen(
            [sys.executable, __file__, "--loop", loop, "--data", str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        for loop in LOOPS
    }
    for loop in LOOPS:  # two blocks each that do not count: caches fill, kernels are made
        for _ in range(4 if loop == "bertsmith" else 2):
            ask(workers[loop])
    times: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    for _ in range(rounds):
        for loop in LOOPS:
            times[loop].append(ask(workers[loop]))
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    print(f"{'loop':<10} {'ms a step':>10} {'range':>15} {'ratio':>7} {'range':>13}")
    for loop, taken in times.items():
        ratios = np.array(taken) / np.array(times["bertsmith"])
        print(
            f"{loop:<10} {1000 * np.median(taken):>10.1f} {1000 * min(taken):>7.1f}-{1000 * max(taken):<7.1f} "
            f"{np.median(ratios):>7.2f} {ratios.min():>6.2f}-{ratios.max():<6.2f}"
        )


def ask(worker: subprocess.Popen[str]) -> float:
    """Seconds a step of one more block."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return float(json.loads(worker.stdout.readline()))


def serve(loop: str, data: Path) -> None:
    """Run blocks of a loop, one for each line on standard input."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    ids, labels = read(data)
    steps = (bertsmith_blocks if loop == "bertsmith" else transformers_blocks)(loop, ids, labels)
    for _ in sys.stdin:
        answers.write(json.dumps(next(steps) / LOOPS[loop]) + "\n")
        answers.flush()


def read(data: Path) -> tuple[list[list[int]], list[int]]:
    """Token ids and labels of 90 % of CoLA's training sentences, as the tutorial takes them."""
    from bertsmith.checkpoint import resolve
    from bertsmith.text import Tokenizer

    rows = [line.split("\t") for line in (data / "cola" / "raw" / "in_domain_train.tsv").read_text().splitlines()]
    order = np.random.default_rng(0).permutation(len(rows))[: len(rows) * 9 // 10]
    ragged = Tokenizer.from_folder(resolve("starter")).encode([rows[i][3] for i in order])
    ids = [ragged.ids[low:high].tolist() for low, high in zip(ragged.bounds, ragged.bounds[1:], strict=False)]
    return ids, [int(rows[i][1]) for i in order]


def transformers_blocks(loop: str, ids: list[list[int]], labels: list[int]) -> Iterator[float]:
    """Seconds of one block of a transformers loop after another."""
    import contextlib

    import torch
    from transformers import BertForSequenceClassification

    from bertsmith.checkpoint import resolve

    best = loop == "best"
    model = BertForSequenceClassification.from_pretrained(resolve("starter"), num_labels=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, eps=1e-8, fused=best)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 4 * len(ids) // BATCH)
    batches = shuffled_batches(len(ids))
    while True:
        started = time.perf_counter()
        for _ in range(LOOPS[loop]):
            rows = next(batches)
            width = max(len(ids[row]) for row in rows) if best else 64
            tokens = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.zeros(len(rows), width, dtype=torch.long)
            for place, row in enumerate(rows):
                tokens[place, : len(ids[row])] = torch.tensor(ids[row])
                mask[place, : len(ids[row])] = 1
            targets = torch.tensor([labels[row] for row in rows])
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16) if best else contextlib.nullcontext():
                loss = model(tokens, attention_mask=mask, labels=targets).loss
            loss.item()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        yield time.perf_counter() - started


def bertsmith_blocks(loop: str, ids: list[list[int]], labels: list[int]) -> Iterator[float]:
    """Seconds of one block of our loop after another."""
    stepper = make_stepper(ids, labels)
    while True:
        started = time.perf_counter()
        for _ in range(LOOPS[loop]):
            stepper.take()
        yield time.perf_counter() - started


def make_stepper(ids: list[list[int]], labels: list[int]) -> Stepper:
    """What `fit` takes its steps with, ready to take them."""
    from bertsmith.engine import TaskModel
    from bertsmith.tasks import Classify, Encoded
    from bertsmith.text import Ragged
    from bertsmith.text.ragged import bounds_of
    from bertsmith.training import BatchPlan, FitOptions
    from bertsmith.training.memory import keep_freed_memory
    from bertsmith.training.step import Stepper

    flat = np.concatenate([np.array(row, dtype=np.int32) for row in ids])
    bounds = bounds_of([len(row) for row in ids])
    ragged = Ragged(flat, np.zeros(len(flat), np.uint8), bounds, np.zeros(len(ids), np.int32))
    rows = Encoded(ragged, np.arange(len(ids) + 1), {"label": np.array(labels)})
    model = TaskModel.start("starter", Classify(labels=("0", "1")), max_length=128, seed=0)
    options = FitOptions(lr=2e-5, epochs=4, batch_size=BATCH)
    keep_freed_memory()
    model.model.train()
    return Stepper(
        model.model,
        BatchPlan(rows, options),
        lambda network, batch: model.task.loss(network(batch).float(), batch),
        options,
        model.precision,
    )


def shuffled_batches(count: int) -> Iterator[list[int]]:
    """Batches of row numbers, shuffled anew each epoch."""
    generator = np.random.default_rng(1)
    while True:
        order = generator.permutation(count).tolist()
        yield from (order[low : low + BATCH] for low in range(0, count, BATCH))


if __name__ == "__main__":
    main()
