"""CoLA with transformers: the scores to compare ours with, on the same weights, split, seeds and budget.

    python bench/cola_peer.py [--data ../shared/data] [--seeds 42 43 44] [--lr 1e-4]

The same 90/10 split as `bertsmith finetune --validation 0.1 --seed S`, batch 32, 4 epochs, warm-up 6 %, linear
schedule, AdamW 0.01, clipping at 1, dynamic padding, bf16 autocast where the processor has bf16 (as ours). Ours:
`python bench/scores.py --only cola`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import matthews_corrcoef
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup, set_seed

from bertsmith.checkpoint import resolve
from bertsmith.tables import read, split
from bertsmith.text import Tokenizer
from bertsmith.training.plan import shuffled
from bertsmith.training.precision import cpu_has_bf16

BATCH, EPOCHS = 32, 4
COLUMNS = ["source", "label", "note", "sentence"]
Rows = tuple[list[list[int]], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--seeds", nargs="*", type=int, default=[42, 43, 44])
    parser.add_argument("--lr", type=float, default=1e-4)
    given = parser.parse_args()
    folder = given.data / "cola" / "raw"
    results = []
    for seed in given.seeds:
        train, held_in = load(folder / "in_domain_train.tsv", seed)
        out_of_domain = load(folder / "out_of_domain_dev.tsv")[0]
        model = fit(train, seed, given.lr)
        results.append((score(model, held_in), score(model, out_of_domain)))
        print(f"seed {seed}: MCC {results[-1][0]:.3f} in domain, {results[-1][1]:.3f} out of domain", flush=True)
    print(
        "mean of {} seeds: MCC {:.3f} in domain, {:.3f} out of domain".format(len(results), *np.mean(results, axis=0))
    )


def load(path: Path, seed: int | None = None) -> tuple[Rows, Rows]:
    """Token ids and labels of a file; with a seed, of its two parts."""
    table = read(path, columns=COLUMNS)
    ragged = Tokenizer.from_folder(resolve("starter")).encode(table.column("sentence"), max_length=256)
    ids = [ragged.ids[low:high].tolist() for low, high in zip(ragged.bounds, ragged.bounds[1:], strict=False)]
    labels = np.array([int(label) for label in table.column("label")])
    everything = np.arange(len(ids))
    parts = (everything, everything) if seed is None else split(labels.astype(float).tolist(), 0.1, seed)
    return tuple(([ids[row] for row in rows], labels[rows]) for rows in parts)  # type: ignore[return-value]


def fit(train: Rows, seed: int, lr: float) -> BertForSequenceClassification:
    """The usual loop."""
    set_seed(seed)
    ids, labels = train
    model = BertForSequenceClassification.from_pretrained(resolve("starter"), num_labels=2).train()
    plain = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, fused=True)
    steps = EPOCHS * -(-len(ids) // BATCH)
    scheduler = get_linear_schedule_with_warmup(optimizer, int(np.ceil(0.06 * steps)), steps)
    for epoch in range(EPOCHS):
        order = shuffled(len(ids), seed, epoch)
        for low in range(0, len(ids), BATCH):
            rows = order[low : low + BATCH]
            with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
                loss = model(**pad([ids[row] for row in rows]), labels=torch.from_numpy(labels[rows])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    return model.eval()


@torch.inference_mode()
def score(model: BertForSequenceClassification, rows: Rows) -> float:
    """Matthews correlation."""
    ids, labels = rows
    logits = [model(**pad(ids[low : low + 64])).logits for low in range(0, len(ids), 64)]
    return float(matthews_corrcoef(labels, torch.cat(logits).argmax(1).numpy()))


def pad(ids: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, ids))
    tokens = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros(len(ids), width, dtype=torch.long)
    for place, row in enumerate(ids):
        tokens[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


if __name__ == "__main__":
    main()
