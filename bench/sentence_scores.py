"""What pooling, whitening and training are worth: Spearman's correlation on the STS-B test set.

    python bench/sentence_scores.py --encoder runs/mini [--data ../shared/data] [--only whitening] [--seeds 42 43 44]

whitening: every way of pooling, before and after a whitening fitted to the sentences of the training set, without their
           scores; of the encoder, which was not trained for sentences, and of the starter
training:  the encoder trained by each objective; the epoch is chosen on the development set, and the test set is scored
           once:
             contrastive     the paraphrases of MRPC and the pairs of STS-B that score 4 or more
             softmax         paraphrase or not (MRPC), as Sentence-BERT learnt of entailment
             softmax-stsb    the scores of STS-B, rounded, as classes
             cosent          the scores of STS-B
             simcse          the sentences of STS-B's training set, without their scores

Prints tables in Markdown, each row as it is known.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import bertsmith
from bertsmith.embedding.geometry import fit_whitening, geometry
from bertsmith.engine.embedder import Embedder
from bertsmith.tasks.retrieval import unit

POOLINGS = ("cls", "mean", "max", "first-last")
DROPOUT = 0.05  # SimCSE's noise; the encoder was pretrained without

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="an encoder that was not trained for sentences")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--only", choices=["whitening", "training"])
    parser.add_argument("--objectives", nargs="+", help="some of the objectives")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    given = parser.parse_args()
    if given.only != "training":
        whitening_table([given.encoder, "starter"], given.data)
    if given.only != "whitening":
        training_table(given.encoder, given.data, given.seeds, given.objectives)


def whitening_table(models: list[str], data: Path) -> None:
    """Each way of pooling, as it is and whitened."""
    print("| model | pooling | mean cosine | as it is | whitened, all | whitened, a third |\n|---|---|---|---|---|---|")
    test = pairs_of(data, "test")
    sentences = sentences_of(pairs_of(data, "train"))
    texts = [row[name] for name in ("sentence1", "sentence2") for row in test]
    for model in models:
        for pooling in POOLINGS:
            embedder = Embedder.open(model, pooling=pooling, normalize=False, precision="fp32")
            fitted, asked = embedder.embed(sentences), embedder.embed(texts)
            maps = [fit_whitening(fitted, keep) for keep in (0, embedder.width // 3)]
            scores = [correlation(vectors, test) for vectors in (asked, *(one.apply(asked) for one in maps))]
            print(
                f"| {model if model == 'starter' else 'plain'} | {pooling} | {geometry(fitted).mean_cosine:.3f} | "
                + " | ".join(f"{100 * score:.1f}" for score in scores)
                + " |",
                flush=True,
            )


def training_table(encoder: str, data: Path, seeds: list[int], objectives: list[str] | None) -> None:
    """Each objective, by seed."""
    test = pairs_of(data, "test")
    print("| trained by | examples | " + " | ".join(f"seed {seed}" for seed in seeds) + " |")
    print("|---|---|" + "---|" * len(seeds))
    start = Embedder.open(encoder, precision="fp32")
    texts = [row[name] for name in ("sentence1", "sentence2") for row in test]
    print(f"| (the start) | | {100 * correlation(start.embed(texts), test):.1f} |", flush=True)
    for name, (loss, rows, options) in trainings(data).items():
        if objectives is not None and name not in objectives:
            continue
        scores = [score_of(encoder, loss, rows, data, seed, options) for seed in seeds]
        print(f"| {name} | {len(rows):,} | " + " | ".join(f"{100 * score:.1f}" for score in scores) + " |", flush=True)


def trainings(data: Path) -> dict[str, tuple[str, list[Row], Row]]:
    """By name: the loss, the examples, and options."""
    scored = pairs_of(data, "train")
    judged = paraphrases(data)
    alike = [{"anchor": row["sentence1"], "positive": row["sentence2"]} for row in scored if row["score"] >= 4]
    alike += [{"anchor": row["sentence1"], "positive": row["sentence2"]} for row in judged if row["label"] == "1"]
    rounded = [
        {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": f"about {row['score']:.0f}"}
        for row in scored
    ]
    return {
        "contrastive": ("contrastive", alike, {"lr": 3e-4, "epochs": 4, "batch_size": 64}),
        "softmax": ("softmax", judged, {"lr": 2e-4, "epochs": 4}),
        "softmax-stsb": ("softmax", rounded, {"lr": 2e-4, "epochs": 4}),
        "cosent": ("cosent", scored, {"lr": 3e-4, "epochs": 4}),
        "simcse": (
            "simcse",
            [{"text": text} for text in sentences_of(scored)],
            {"lr": 1e-4, "epochs": 1, "batch_size": 64, "dropout": DROPOUT},
        ),
    }


def score_of(encoder: str, loss: str, rows: list[Row], data: Path, seed: int, options: Row) -> float:
    """Spearman on the test set after training."""
    with tempfile.TemporaryDirectory() as place:
        model = bertsmith.finetune(
            rows,
            Path(place) / "run",
            "embed",
            eval=pairs_of(data, "dev"),
            loss=loss,
            model=encoder,
            seed=seed,
            max_length=64,
            quiet=True,
            keep_best=True,
            **options,
        )
    return float(model.evaluate(pairs_of(data, "test"))["spearman"])


def correlation(vectors: Any, rows: list[Row]) -> float:
    """Spearman's correlation of cosines with scores. Shape: vectors (2 * R, E), the first texts before the second."""
    from scipy.stats import spearmanr

    first, second = np.split(unit(vectors), 2)
    return float(spearmanr((first * second).sum(1), [row["score"] for row in rows]).statistic)


def pairs_of(data: Path, split: str) -> list[Row]:
    """The pairs of a part of STS-B."""
    fields = [line.split("\t") for line in (data / "stsb" / f"sts-{split}.csv").read_text().splitlines()]
    return [{"sentence1": row[5], "sentence2": row[6], "score": float(row[4])} for row in fields]


def paraphrases(data: Path) -> list[Row]:
    """The pairs of MRPC's training set, and whether they say the same."""
    lines = (data / "mrpc" / "train.tsv").read_text(encoding="utf-8-sig").splitlines()[1:]
    fields = [line.split("\t") for line in lines]
    return [{"sentence1": row[3], "sentence2": row[4], "label": row[0]} for row in fields]


def sentences_of(rows: list[Row]) -> list[str]:
    """The different sentences of pairs."""
    return sorted({text for row in rows for text in (row["sentence1"], row["sentence2"])})


if __name__ == "__main__":
    main()
