"""Speed of training sentence embeddings, side by side: our loop against sentence-transformers' own trainer.

    python bench/sentence_training.py [--data ../shared/data] [--rounds 5]

All train the starter encoder by in-batch negatives on the paraphrases of MRPC's training set, 32 pairs a step, from the
same weights and with the same rate. Each is a process of its own that waits while the others work; they take turns, a
block of steps each, so that a machine that slows down slows all of them.

    trainer      SentenceTransformerTrainer as it comes: fp32, fused AdamW, MultipleNegativesRankingLoss
    trainer16    the same with bf16=True
    bertsmith    `fit` with its defaults and the task `embed`

Printed: milliseconds a step (median over rounds) and the ratio to ours, round by round. The trainer tokenizes in its
collator as it goes; we did before the first step, in less than a tenth of a second.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import turns

PAIRS = 32  # of a step
RATE = 2e-5
LOOPS = {"trainer": 8, "trainer16": 8, "bertsmith": 16}  # steps in a block


def main() -> None:
    given = turns.parser(__doc__, LOOPS, rounds=5).parse_args()
    if not given.loop:
        turns.compare(__file__, ["--data", str(given.data)], LOOPS, ours="bertsmith", rounds=given.rounds)
    elif given.loop == "bertsmith":
        turns.serve(lambda: our_step(paraphrases(given.data)), LOOPS["bertsmith"])
    else:
        train_with_trainer(paraphrases(given.data), bf16=given.loop == "trainer16", steps=LOOPS[given.loop])


def paraphrases(data: Path) -> list[tuple[str, str]]:
    """The pairs of MRPC's training set that say the same."""
    lines = (data / "mrpc" / "train.tsv").read_text(encoding="utf-8-sig").splitlines()[1:]
    return [(first, second) for label, _, _, first, second in (line.split("\t") for line in lines) if label == "1"]


def our_step(pairs: list[tuple[str, str]]) -> Callable[[], None]:
    """What `fit` takes its steps with, ready to take them."""
    from bertsmith.engine import TaskModel
    from bertsmith.stages.trained import plan_of, task_loss
    from bertsmith.tables import Table
    from bertsmith.tasks.embed import Embed
    from bertsmith.tasks.task import Columns
    from bertsmith.training import FitOptions
    from bertsmith.training.memory import keep_freed_memory
    from bertsmith.training.step import Stepper

    examples = Embed.read(Table.from_rows([{"anchor": one, "positive": other} for one, other in pairs]), Columns())
    model = TaskModel.start("starter", Embed.learn(examples, loss="contrastive"), max_length=256, seed=0)
    options = FitOptions(lr=RATE, epochs=4, batch_size=PAIRS)
    rows = model.task.encode(examples, model.tokenizer, model.max_length)
    keep_freed_memory()
    model.model.train()
    return Stepper(
        model.model, plan_of(model.task, rows, options), task_loss(model.task), options, model.precision
    ).take


def train_with_trainer(pairs: list[tuple[str, str]], *, bf16: bool, steps: int) -> None:
    """Let the trainer run; before every block of steps it waits for its turn."""
    line = turns.Line()
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )
    from transformers import TrainerCallback

    from bertsmith.checkpoint import resolve

    torch.set_num_threads(os.cpu_count() or 1)

    class Turns(TrainerCallback):
        """Steps in blocks."""

        began = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step % steps == 0:
                if state.global_step:
                    line.tell((time.perf_counter() - self.began) / steps)
                if not line.wait():
                    os._exit(0)
                self.began = time.perf_counter()

    encoder = SentenceTransformer(str(resolve("starter")), device="cpu")
    with tempfile.TemporaryDirectory() as place:
        arguments = SentenceTransformerTrainingArguments(
            place,
            num_train_epochs=100,
            per_device_train_batch_size=PAIRS,
            learning_rate=RATE,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(
            encoder,
            arguments,
            train_dataset=Dataset.from_dict(
                {"anchor": [one for one, _ in pairs], "positive": [one for _, one in pairs]}
            ),
            loss=losses.MultipleNegativesRankingLoss(encoder),
            callbacks=[Turns()],
        ).train()
    sys.exit("the trainer ended before it was told to")


if __name__ == "__main__":
    main()
