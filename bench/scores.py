"""Scores on the classic tasks: one command each, from the starter encoder, on real data.

    python bench/scores.py [--data ../shared/data] [--out runs/scores] [--only cola sst2 ...] [--seeds 42 43 44]

Each task is trained by the command line that a user would type, which is printed, and scored on data it was not trained
on. Ends with a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """A task's training, its held-out data, and the scores to tell."""

    train: str
    held_out: str
    scores: tuple[str, ...]


RECIPES = {
    "cola": Recipe(
        "--task classify --train {data}/cola/raw/in_domain_train.tsv --columns source,label,note,sentence "
        "--validation 0.1 --epochs 4 --batch-size 32 --lr 1e-4 --metric mcc",
        "{data}/cola/raw/out_of_domain_dev.tsv --columns source,label,note,sentence",
        ("mcc", "accuracy"),
    ),
    "sst2": Recipe(
        "--task classify --train {data}/sst2/train.tsv --eval {data}/sst2/dev.tsv --epochs 3 --batch-size 32 --lr 5e-5 "
        "--keep-best",
        "{data}/sst2/dev.tsv",
        ("accuracy",),
    ),
    "mrpc": Recipe(
        "--task classify --train {data}/mrpc/train.tsv --eval {data}/mrpc/dev.tsv --epochs 5 --batch-size 16 --lr 1e-4",
        "{data}/mrpc/msr_paraphrase_test.txt",
        ("accuracy", "f1"),
    ),
    "stsb": Recipe(
        "--task regress --train {data}/stsb/sts-train.csv --eval {data}/stsb/sts-dev.csv --epochs 4 --batch-size 16 "
        "--lr 1e-4 --columns genre,file,year,id,score,sentence1,sentence2,...",
        "{data}/stsb/sts-test.csv --columns genre,file,year,id,score,sentence1,sentence2,...",
        ("pearson", "spearman"),
    ),
    "conll": Recipe(
        "--task tag --train {data}/conll2003/eng.train --eval {data}/conll2003/eng.testa --epochs 4 --lr 3e-4",
        "{data}/conll2003/eng.testb",
        ("f1", "precision", "recall"),
    ),
    "squad": Recipe(
        "--task answer --train {data}/squad/train-subset.json --validation 0 --epochs 4 --batch-size 16 --lr 2e-4",
        "{data}/squad/dev-v1.1.json",
        ("exact_match", "f1"),
    ),
    "codah": Recipe(
        "--task choose --train {data}/codah/fold_0/train.tsv --eval {data}/codah/fold_0/dev.tsv --epochs 6 "
        "--batch-size 16 --lr 1e-4 --columns category,prompt,ending0,ending1,ending2,ending3,label",
        "{data}/codah/fold_0/test.tsv --columns category,prompt,ending0,ending1,ending2,ending3,label",
        ("accuracy",),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=Path("runs/scores"))
    parser.add_argument("--only", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[42])
    given = parser.parse_args()
    rows = []
    for name in given.only:
        for seed in given.seeds:
            row = run(name, seed, given.data, given.out)
            print(row, flush=True)
            rows.append(row)
    print("\n| task | seed | held out | eval while training | training | tokens/s |\n|---|---|---|---|---|---|")
    print("\n".join(rows))


def run(name: str, seed: int, data: Path, out: Path) -> str:
    """Train and score one task; a row of the table."""
    recipe = RECIPES[name]
    folder = out / f"{name}-{seed}"
    scores = train_and_score(recipe, folder, data, f"--seed {seed}")
    metrics = json.loads((folder / "metrics.json").read_text())
    told = ", ".join(f"{score} {scores[score]:.4g}" for score in recipe.scores)
    while_training = ", ".join(f"{score} {metrics['eval'][score]:.4g}" for score in recipe.scores if metrics["eval"])
    seconds, rate = metrics["train_seconds"], metrics["tokens_per_second"]
    return f"| {name} | {seed} | {told} | {while_training or 'none'} | {seconds:.0f} s | {rate:,.0f} |"


def train_and_score(recipe: Recipe, folder: Path, data: Path, more: str) -> dict[str, float]:
    """Train by a recipe, with more options, into a folder; the scores of what came of it on the held-out data."""
    bertsmith(f"finetune {recipe.train.format(data=data)} {more} --out {folder} --overwrite")
    scores = bertsmith(f"evaluate --model {folder} --data {recipe.held_out.format(data=data)} --json")
    return {name: float(value) for name, value in json.loads(scores).items() if value is not None}


def bertsmith(arguments: str) -> str:
    """What a command prints on standard output."""
    print(f"$ bertsmith {arguments}", flush=True)
    command = [sys.executable, "-m", "bertsmith", *shlex.split(arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
