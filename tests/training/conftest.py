"""A toy task that every test of training shares: does a token occur in a sequence?"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.model import Batch, BertConfig, BertModel
from bertsmith.model.heads import HeadKind
from bertsmith.training import BatchPlan, Evaluation, FitOptions, FitResult, Loss, Precision, State, fit

SOUGHT = 5  # the token that decides the label
VOCABULARY = 40


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Threads cost more than they give at these sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class ToyRows:
    """Rows of random ids in 1 ... num_ids: target "label" by row, and "tags" by token.

    Tags are -100 in part, and in one row more than in another.
    """

    def __init__(self, num_rows: int = 48, num_ids: int = VOCABULARY - 1, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        lengths = generator.integers(2, 12, num_rows)
        self.ids = [generator.integers(1, num_ids + 1, length) for length in lengths]
        self.labels = np.array([int((ids == SOUGHT).any()) for ids in self.ids])
        self.tags = [np.where(generator.random(len(ids)) < generator.random(), ids % 2, -100) for ids in self.ids]
        self.trained_ids = np.unique(np.concatenate(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def row_tokens(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids])

    @property
    def used_ids(self) -> NDArray[np.int64]:
        return self.trained_ids

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        ids = torch.from_numpy(np.concatenate([self.ids[row] for row in rows]))
        tags = torch.from_numpy(np.concatenate([self.tags[row] for row in rows]))
        return Batch(
            ids,
            torch.zeros_like(ids),
            torch.from_numpy(self.row_tokens[rows]),
            {"label": torch.from_numpy(self.labels[rows]), "tags": tags},
        )


def toy_loss(model: BertModel, batch: Batch) -> Loss:
    """Cross-entropy by row or by token, as the head of the model is."""
    targets = batch.targets["tags" if model.head_kind == "token" else "label"]
    return Loss(F.cross_entropy(model(batch).float(), targets, reduction="sum"), (targets != -100).sum())


def toy_model(head: HeadKind = "sequence", seed: int = 0, **fields: Any) -> BertModel:
    """A tiny model of the toy vocabulary, without dropout unless told."""
    tiny: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": 16,
        "initializer_range": 0.2,
    }
    return BertModel(BertConfig(**{**tiny, **fields}), head, 2, torch.Generator().manual_seed(seed))


def fickle_score(model: BertModel) -> float:
    """A number in 0 ... 1 that the bytes of the weights decide, and that no training improves: a checksum."""
    weights = model.get_parameter("head.classifier.weight").detach().float()
    return zlib.crc32(weights.numpy().tobytes()) / 2**32


@dataclass
class Run:
    """What one call of `fit` left behind."""

    model: BertModel
    result: FitResult
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        return [line["loss"] for line in self.log if "loss" in line]

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.model.state_dict()


def train_toy(
    model: BertModel,
    rows: ToyRows | None = None,
    *,
    loss: Callable[[BertModel, Batch], Loss] = toy_loss,
    precision: str = "fp32",
    state: State | None = None,
    evaluate: Callable[[], Evaluation] | None = None,
    save: Callable[[State], None] | None = None,
    **options: Any,
) -> Run:
    """Train ``model`` on the toy task, a line of the log for every step.

    eps is large here, so that rounding errors of gradients that are nearly 0 are not blown up to whole steps.
    """
    chosen = FitOptions(**{"lr": 3e-3, "eps": 1e-4, "batch_size": 8, "log_every": 1, "warmup": 0, **options})
    log: list[dict[str, Any]] = []
    result = fit(
        model,
        BatchPlan(rows or ToyRows(), chosen),
        loss,
        chosen,
        Precision(precision, torch.device("cpu"), "for a test"),  # type: ignore[arg-type]
        state=state,
        evaluate=evaluate,
        save=save,
        log=log.append,
    )
    return Run(model, result, log)


@pytest.fixture(scope="session")
def make_rows() -> type[ToyRows]:
    """Makes the rows of the toy task."""
    return ToyRows


@pytest.fixture(scope="session")
def make_model() -> Callable[..., BertModel]:
    """Makes a tiny model for it."""
    return toy_model


@pytest.fixture(scope="session")
def train() -> Callable[..., Run]:
    """Trains one on it."""
    return train_toy


@pytest.fixture(scope="session")
def loss_of() -> Callable[[BertModel, Batch], Loss]:
    """The loss of the toy task."""
    return toy_loss


@pytest.fixture(scope="session")
def score_of() -> Callable[[BertModel], float]:
    """A score that no training improves, and that any change of the weights changes."""
    return fickle_score
