"""What pretraining was worth: tasks from a pretrained encoder, and from the same one with random weights.

    python bench/pretraining_gain.py --model runs/mini [--data ../shared/data] [--out runs/gain] [--seeds 42 43 44]

Both start from a folder and are trained by the same commands, which are printed; each seed has random weights of its
own. Scored on data that training has not seen: SST-2, all of it and a tenth, on its dev set, MRPC and STS-B on their
test sets. Ends with a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertsmith.engine.language_model import LanguageModel
from bertsmith.files import write_text
from scores import RECIPES, Recipe, train_and_score

# Small encoders want a higher rate than the one that the recipes are for. What next sentences taught the pooler is in
# the way of judging single sentences (docs/lab-notes.md); for random weights a new one is as good as the old.
TASKS = {
    "sst2": replace(
        RECIPES["sst2"],
        train="--task classify --train {data}/sst2/train.tsv --validation 0.02 --epochs 1 --batch-size 32 --lr 3e-4 "
        "--new-pooler",
    ),
    "sst2-tenth": replace(
        RECIPES["sst2"],
        train="--task classify --train TENTH --validation 0.05 --epochs 3 --batch-size 32 --lr 3e-4 --new-pooler",
    ),
    "mrpc": replace(
        RECIPES["mrpc"],
        train=RECIPES["mrpc"].train.replace("--epochs 5", "--epochs 3").replace("--lr 1e-4", "--lr 3e-4"),
    ),
    "stsb": replace(RECIPES["stsb"], train=RECIPES["stsb"].train.replace("--lr 1e-4", "--lr 3e-4")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of bertsmith pretrain")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[42, 43, 44])
    given = parser.parse_args()
    rows = []
    tenth = write_tenth(given.data / "sst2/train.tsv", given.out)
    for name in given.only:
        recipe = replace(TASKS[name], train=TASKS[name].train.replace("TENTH", str(tenth)))
        rows += compare(name, recipe, given.model, given.seeds, given.data, given.out)
    print("\n| task | score | pretrained | random weights | gain |\n|---|---|---|---|---|")
    print("\n".join(rows))


def compare(name: str, recipe: Recipe, model: Path, seeds: list[int], data: Path, out: Path) -> list[str]:
    """The scores of a task from both starts, every seed; a row of the table for each score."""
    found: dict[str, list[dict[str, float]]] = {"pretrained": [], "random": []}
    for seed in seeds:
        starts = {"pretrained": model, "random": with_random_weights(model, seed, out)}
        for start, folder in starts.items():
            scores = train_and_score(recipe, out / f"{name}-{start}-{seed}", data, f"--seed {seed} --model {folder}")
            found[start].append(scores)
            print(name, start, seed, *(f"{score} {scores[score]:.4f}" for score in recipe.scores), flush=True)
    rows = []
    for score in recipe.scores:
        columns = {start: [one[score] for one in scores] for start, scores in found.items()}
        told = [" ".join(f"{value:.3f}" for value in values) for values in columns.values()]
        means = [float(np.mean(values)) for values in columns.values()]
        told = [f"{mean:.3f} ({values})" for mean, values in zip(means, told, strict=True)]
        rows.append(f"| {name} | {score} | {told[0]} | {told[1]} | {means[0] - means[1]:+.3f} |")
    return rows


def write_tenth(whole: Path, out: Path) -> Path:
    """A file with every tenth row of another."""
    head, *rows = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    place = out / "sst2-tenth.tsv"
    write_text(place, "".join([head, *rows[::10]]))
    return place


def with_random_weights(folder: Path, seed: int, out: Path) -> Path:
    """A folder with the same encoder as another, its weights random."""
    trained = LanguageModel.open(folder)
    place = out / f"random-{seed}"
    model = trained.model
    LanguageModel.start(model.config, trained.tokenizer, model.head_kind, seed=seed, device="cpu").save(place)
    return place


if __name__ == "__main__":
    main()
