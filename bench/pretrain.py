"""Pretraining speed, side by side: our loop against transformers' BertForPreTraining, on the same batches.

    python bench/pretrain.py [--corpus corpus/] [--preset L4-H256] [--rounds 8]

Masked words and next sentences, 32 instances of up to 128 tokens a step, 15 % masked. The loops take turns, a block of
steps each (see turns.py).

    fp32       transformers as it comes: padded to 128, fp32, AdamW
    best       transformers at its best here: fused AdamW, and bf16 autocast where the processor has bf16
    bertsmith  `fit` with its defaults

The corpus is made by `bertsmith prepare`. Ours is charged for making its instances and batches, in a thread of its own
as it trains; transformers' finds its instances made, and is charged for moving them into padded tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch

import turns

BATCH, LENGTH = 32, 128
STEPS = 40  # of instances that transformers' loops go through
LOOPS = {"fp32": 3, "best": 3, "bertsmith": 8}  # steps in a block


def main() -> None:
    parser = turns.parser(__doc__, LOOPS, rounds=8, data=False)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--preset", default="L4-H256")
    given = parser.parse_args()
    if not given.loop:
        arguments = ["--corpus", str(given.corpus), "--preset", given.preset]
        turns.compare(__file__, arguments, LOOPS, ours="bertsmith", rounds=given.rounds)
        return
    make = bertsmith_step if given.loop == "bertsmith" else peer_step
    turns.serve(lambda: make(given.corpus, given.preset, given.loop), LOOPS[given.loop])


def bertsmith_step(corpus: Path, preset: str, loop: str) -> Callable[[], None]:
    """A step of ours."""
    from bertsmith.corpus.shards import Corpus
    from bertsmith.stages.pretrain import plan_steps, start_model
    from bertsmith.stages.pretrain_settings import PretrainSettings
    from bertsmith.training.memory import keep_freed_memory
    from bertsmith.training.objectives import pretraining_loss
    from bertsmith.training.options import PretrainFitOptions
    from bertsmith.training.processes import ALONE
    from bertsmith.training.step import Stepper

    options = PretrainFitOptions(epochs=1.0, batch_size=BATCH)
    settings = PretrainSettings(str(corpus), "none", preset=preset, fit=options)
    opened = Corpus.open(corpus)
    model = start_model(settings, opened)
    plan = plan_steps(settings, opened, ALONE)
    keep_freed_memory()
    model.model.train()
    return Stepper(model.model, plan, pretraining_loss, settings.fit, model.precision).take


def peer_step(corpus: Path, preset: str, loop: str) -> Callable[[], None]:
    """A step of transformers', on the instances that ours takes."""
    import transformers

    from bertsmith.corpus.instances import InstanceOptions, Stream
    from bertsmith.corpus.shards import Corpus
    from bertsmith.model.config import PRESETS
    from bertsmith.training.precision import cpu_has_bf16

    opened = Corpus.open(corpus)
    stream = Stream(opened, InstanceOptions(max_length=LENGTH), seed=42, batch_size=BATCH)
    config = {**PRESETS[preset].to_dict(), "vocab_size": opened.vocab_size}
    model = transformers.BertForPreTraining(transformers.BertConfig(**config)).train()
    best = loop == "best"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=best)
    instances = cycle([stream.step(number) for number in range(STEPS)])

    def step() -> None:
        built = next(instances)
        mask = torch.arange(LENGTH) < torch.from_numpy(built.lengths)[:, None]
        labels = torch.full((int(built.lengths.sum()),), -100)
        labels[torch.from_numpy(built.masked_places)] = torch.from_numpy(built.masked_ids)
        padded = {}
        for name, values, fill in (
            ("input_ids", torch.from_numpy(built.ids), 0),
            ("token_type_ids", torch.from_numpy(built.segments), 0),
            ("labels", labels, -100),
        ):
            padded[name] = torch.full(mask.shape, fill)
            padded[name][mask] = values
        following = torch.from_numpy(built.random_next).long()
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=best and cpu_has_bf16()):
            loss = model(**padded, attention_mask=mask.long(), next_sentence_label=following).loss
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
