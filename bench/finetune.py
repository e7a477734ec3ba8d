"""Fine-tuning speed, side by side: our loop against transformers, on the same weights, data, batches and machine.

    python bench/finetune.py [--data ../shared/data] [--rounds 8]

Three loops train the starter encoder on CoLA, 32 sentences a step, each in a process of its own that waits while the
others work; they take turns, a block of steps each, so that a machine that slows down slows all of them.

    tutorial   the loop of the well-known CoLA tutorial: padded to 64, fp32, AdamW as it comes
    best       transformers at its best here: padded to the longest of the batch, fused AdamW, and bf16 autocast where
               the processor has bf16
    bertsmith  `fit` with its defaults

Printed: milliseconds a step (median over rounds) and the ratio to ours, round by round. No loop is charged for
tokenizing; all are charged for making batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import turns

if TYPE_CHECKING:
    from bertsmith.training.step import Stepper

BATCH = 32
LOOPS = {"tutorial": 6, "best": 24, "bertsmith": 48}  # steps in a block


def main() -> None:
    given = turns.parser(__doc__, LOOPS, rounds=8).parse_args()
    if not given.loop:
        turns.compare(__file__, ["--data", str(given.data)], LOOPS, ours="bertsmith", rounds=given.rounds)
        return

    def make_step() -> Callable[[], None]:
        ids, labels = read(given.data)
        if given.loop == "bertsmith":
            return make_stepper(ids, labels).take
        return transformers_step(ids, labels, best=given.loop == "best")

    turns.serve(make_step, LOOPS[given.loop])


def read(data: Path) -> tuple[list[list[int]], list[int]]:
    """Token ids and labels of 90 % of CoLA's training sentences, as the tutorial takes them."""
    from bertsmith.checkpoint import resolve
    from bertsmith.text import Tokenizer

    rows = [line.split("\t") for line in (data / "cola" / "raw" / "in_domain_train.tsv").read_text().splitlines()]
    order = np.random.default_rng(0).permutation(len(rows))[: len(rows) * 9 // 10]
    ragged = Tokenizer.from_folder(resolve("starter")).encode([rows[i][3] for i in order])
    ids = [ragged.ids[low:high].tolist() for low, high in zip(ragged.bounds, ragged.bounds[1:], strict=False)]
    return ids, [int(rows[i][1]) for i in order]


def transformers_step(ids: list[list[int]], labels: list[int], *, best: bool) -> Callable[[], None]:
    """A step of a transformers loop."""
    import torch
    from transformers import BertForSequenceClassification

    from bertsmith.checkpoint import resolve
    from bertsmith.training.precision import cpu_has_bf16

    model = BertForSequenceClassification.from_pretrained(resolve("starter"), num_labels=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, eps=1e-8, fused=best)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 4 * len(ids) // BATCH)
    batches = shuffled_batches(len(ids))

    def step() -> None:
        rows = next(batches)
        width = max(len(ids[row]) for row in rows) if best else 64
        tokens = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for place, row in enumerate(rows):
            tokens[place, : len(ids[row])] = torch.tensor(ids[row])
            mask[place, : len(ids[row])] = 1
        targets = torch.tensor([labels[row] for row in rows])
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=best and cpu_has_bf16()):
            loss = model(tokens, attention_mask=mask, labels=targets).loss
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()

    return step


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
