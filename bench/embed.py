"""Embedding speed, side by side: our engines against sentence-transformers, on the same weights, texts and machine.

    python bench/embed.py [--data ../shared/data] [--rounds 3] [--peer-python PYTHON]

Each turns 10,000 different sentences of the STS benchmark (those of the test set first) into vectors with the starter
encoder, from text in memory to vectors in memory, tokenization included and the model loaded, and then finds the
nearest other sentence of each. Each loop is a process of its own that waits while the others work; they take turns, so
that a machine that slows down slows all of them. One turn before the first does not count: models are compiled in it.

    st-fp32, st-bf16             sentence-transformers as it comes, and loaded in bf16
    st-openvino, st-onnx-int8    its other backends; they need optimum, so --peer-python names an interpreter that has
                                 it (pip install 'sentence-transformers[onnx,openvino]'); left out without one
    fp32, bf16, int8             `Embedder`; int8 is calibrated on some of the sentences

Printed: seconds (median over rounds), the ratio to sentence-transformers' default and to its fastest, round by round,
the lowest and the mean cosine with its default's vectors, and Spearman's correlation on the STS-B test set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import turns

SENTENCES = 10_000
PEERS = ("st-fp32", "st-bf16")
PEERS_WITH_OPTIMUM = ("st-openvino", "st-onnx-int8")
OURS = ("fp32", "bf16", "int8")

Vectors = NDArray[np.float32]


def main() -> None:
    parser = turns.parser(__doc__, [*PEERS, *PEERS_WITH_OPTIMUM, *OURS], rounds=3)
    parser.add_argument("--peer-python", default="", help="an interpreter with sentence-transformers and optimum")
    parser.add_argument("--texts", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        turns.answer(lambda: loop_of(given.loop, given.texts, given.model, given.vectors))
    else:
        compare(given.data, given.rounds, given.peer_python)


def compare(data: Path, rounds: int, peer_python: str) -> None:
    """Let all loops take turns, and print the table."""
    from bertsmith.checkpoint import resolve

    sentences, pairs, scores = read(data)
    pythons = dict.fromkeys([*PEERS, *OURS], sys.executable) | (
        dict.fromkeys(PEERS_WITH_OPTIMUM, peer_python) if peer_python else {}
    )
    with tempfile.TemporaryDirectory() as place:
        texts = Path(place) / "texts.json"
        texts.write_text(json.dumps(sentences))
        workers = {
            loop: turns.start(
                __file__,
                ["--texts", str(texts), "--model", str(resolve("starter")), "--vectors", f"{place}/{loop}.npy"],
                loop,
                python=python,
            )
            for loop, python in pythons.items()
        }
        for worker in workers.values():  # a turn that does not count
            turns.ask(worker)
        taken: dict[str, list[dict[str, float]]] = {loop: [] for loop in workers}
        for _ in range(rounds):
            for loop, worker in workers.items():
                taken[loop].append(turns.ask(worker))
        for worker in workers.values():
            turns.stop(worker)
        vectors = {loop: np.load(f"{place}/{loop}.npy") for loop in workers}
    show(taken, vectors, pairs, scores)


def show(
    taken: dict[str, list[dict[str, float]]], vectors: dict[str, Vectors], pairs: NDArray[Any], scores: Any
) -> None:
    """Print a row for each loop."""
    from scipy.stats import spearmanr

    embedding = {loop: np.array([one["embedding"] for one in turns]) for loop, turns in taken.items()}
    peers = [loop for loop in embedding if loop not in OURS]
    fastest = min(peers, key=lambda loop: float(np.median(embedding[loop])))
    print(f"fastest of the peers: {fastest}")
    print(
        "| loop | seconds | range | neighbours, s | times the default | range | times the fastest | lowest cosine "
        "| mean cosine | Spearman |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for loop, seconds in embedding.items():
        default, best = (embedding[other] / seconds for other in ("st-fp32", fastest))
        cosines = (unit(vectors[loop]) * unit(vectors["st-fp32"])).sum(1)
        found = (unit(vectors[loop])[pairs[:, 0]] * unit(vectors[loop])[pairs[:, 1]]).sum(1)
        others = np.median([one["neighbours"] for one in taken[loop]])
        print(
            f"| {loop} | {np.median(seconds):.2f} | {seconds.min():.2f}-{seconds.max():.2f} | {others:.2f} "
            f"| {np.median(default):.2f} | {default.min():.2f}-{default.max():.2f} | {np.median(best):.2f} "
            f"| {cosines.min():.6f} | {cosines.mean():.7f} | {100 * spearmanr(found, scores).statistic:.2f} |"
        )


def unit(vectors: Vectors) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)


def read(data: Path) -> tuple[list[str], NDArray[np.int64], list[float]]:
    """The sentences, and of the test set the two sentences of each pair by number with their score."""
    rows = {
        split: [line.split("\t") for line in (data / "stsb" / f"sts-{split}.csv").read_text().splitlines()]
        for split in ("test", "dev", "train")
    }
    every = [sentence for split in rows.values() for row in split for sentence in row[5:7]]
    number = {sentence: place for place, sentence in enumerate(dict.fromkeys(every))}
    pairs = np.array([[number[row[5]], number[row[6]]] for row in rows["test"]])
    return list(number)[:SENTENCES], pairs, [float(row[4]) for row in rows["test"]]


def loop_of(name: str, texts: Path, model: Path, vectors: Path) -> Callable[[], dict[str, float]]:
    """What a turn of a loop does: embed, find neighbours, tell the seconds of both. Leaves its first vectors."""
    sentences: list[str] = json.loads(texts.read_text())
    embed, nearest = ours(name, sentences) if name in OURS else theirs(name, model)

    def turn() -> dict[str, float]:
        began = time.perf_counter()
        found = embed(sentences)
        embedded = time.perf_counter()
        nearest(found)
        ended = time.perf_counter()
        if not vectors.exists():
            np.save(vectors, np.asarray(found, dtype=np.float32))
        return {"embedding": embedded - began, "neighbours": ended - embedded}

    return turn


def ours(precision: Any, sentences: list[str]) -> tuple[Callable[[list[str]], Any], Callable[[Any], Any]]:
    """Our engine for CPUs in a precision."""
    from bertsmith.embedding.neighbours import nearest_others
    from bertsmith.engine.embedder import Embedder

    embedder = Embedder.open("starter", precision=precision)
    embedder.prepare(sentences)
    return embedder.embed, lambda vectors: nearest_others(vectors, 1)


def theirs(name: str, model: Path) -> tuple[Callable[[list[str]], Any], Callable[[Any], Any]]:
    """sentence-transformers, and its own search."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import semantic_search

    if name in PEERS:
        import torch

        kind = {"torch_dtype": torch.bfloat16 if name == "st-bf16" else torch.float32}
        encoder = SentenceTransformer(str(model), device="cpu", model_kwargs=kind)
    elif name == "st-openvino":
        encoder = SentenceTransformer(str(model), device="cpu", backend="openvino")
    else:
        from sentence_transformers import export_dynamic_quantized_onnx_model

        with tempfile.TemporaryDirectory() as place:
            plain = SentenceTransformer(str(model), device="cpu", backend="onnx")
            plain.save_pretrained(place)
            export_dynamic_quantized_onnx_model(plain, "avx512_vnni", place)
            file = {"file_name": "onnx/model_qint8_avx512_vnni.onnx"}
            encoder = SentenceTransformer(place, device="cpu", backend="onnx", model_kwargs=file)

    def embed(sentences: list[str]) -> Any:
        return encoder.encode(
            sentences, batch_size=32, convert_to_numpy=name != "st-bf16", convert_to_tensor=name == "st-bf16"
        )

    def nearest(vectors: Any) -> Any:
        return semantic_search(vectors, vectors, top_k=2)  # the first is the sentence itself

    if name == "st-bf16":
        return lambda sentences: embed(sentences).float().numpy(), nearest
    return embed, nearest


if __name__ == "__main__":
    main()
