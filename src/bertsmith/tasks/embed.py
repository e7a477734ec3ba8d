"""Sentence embeddings: one vector a text, near for texts that mean alike.

Enters: pairs with a score or a label, anchors with positives (and hard negatives), or texts alone. Leaves:
``{"vector": [...]}``, or ``{"similarity": cosine}`` for a pair. Every text is a sequence of its own; the texts of a
group stand side by side in a training row. (Reimers and Gurevych 2019; the losses are in `sentence_losses`.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.checkpoint.folder import Checkpoint
from bertsmith.checkpoint.sentence_files import SentenceFiles, linear_map_of
from bertsmith.errors import DataError, SettingsError, nearest
from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.sentence import Pooling, PoolingMode, SentenceModel
from bertsmith.tables.table import Table
from bertsmith.tasks.groups import Groups, groups_of_inputs, numbers_of, read_groups
from bertsmith.tasks.insight import Insight, Regression, widest_misses
from bertsmith.tasks.labels import label_name, number_of, ordered
from bertsmith.tasks.losses import class_loss
from bertsmith.tasks.metrics import number_scores
from bertsmith.tasks.retrieval import retrieval_scores, uniformity, unit
from bertsmith.tasks.sentence_losses import contrastive_loss, cosent_loss, cosine_loss, triplet_loss
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import count_empty
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss

Objective = Literal["contrastive", "triplet", "cosine", "cosent", "softmax", "simcse"]

_FEW = 4  # different whole numbers in a label column, so many or fewer, are classes; more of them are scores
_ALIKE = 0.8  # of the scale of scores, from where on a pair belongs together
_MOST_FOR_UNIFORMITY = 2000  # texts


@dataclass(frozen=True)
class Embed(Task):
    """A model of sentence vectors, and what it is trained with.

    objective:   what a batch costs; see `learn` for what is taken unless given
    temperature: of `contrastive`, `simcse` and `cosent`
    margin:      of `triplet`
    symmetric:   `contrastive` from positives to anchors, too
    matryoshka:  numbers of a vector, the first ones, with which the loss is to be small as well (Kusupati et al. 2022)
    label_smoothing, focal_gamma: of `softmax`, as a classifier's
    labels:      of `softmax`: names by number, for training alone
    scale:       the lowest and the highest score of the training data
    pooling:     how tokens become a vector; ``None``: as the checkpoint says, and their mean where it does not
    prompts:     what may be put before texts, by name
    default_prompt: the name of the one that is put before all texts, or ``None``
    """

    objective: Objective = "contrastive"
    temperature: float = 0.05
    margin: float = 1.0
    symmetric: bool = False
    matryoshka: tuple[int, ...] = ()
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    pooling: Pooling | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    name: ClassVar[str] = "embed"
    head: ClassVar[Literal["sentence"]] = "sentence"
    metric: ClassVar[str] = "spearman"
    takes_lines: ClassVar[bool] = True
    whole_batches: ClassVar[bool] = True  # most objectives compare all texts of a batch
    default_max_length: ClassVar[int] = 256
    options: ClassVar[tuple[str, ...]] = (
        "loss",
        "temperature",
        "margin",
        "symmetric",
        "matryoshka",
        "label_smoothing",
        "focal_gamma",
        "pooling",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "matryoshka", tuple(self.matryoshka))
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "scale", tuple(self.scale))
        if self.objective not in get_args(Objective):
            raise SettingsError(f"loss is {self.objective!r}; {nearest(self.objective, get_args(Objective))}")
        if not self.temperature > 0:
            raise SettingsError(f"temperature is {self.temperature}; give a number over 0 (0.05 is usual)")
        if not self.margin >= 0:
            raise SettingsError(f"margin is {self.margin}; give a number from 0")

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Groups:
        """Groups of texts of a table, with their scores or labels where there are any."""
        return read_groups(table, columns, labelled=labelled)

    @classmethod
    def learn(cls, examples: Groups, **options: Any) -> Self:
        """The options of the class, the labels of pairs or the scale of their scores.

        Unless an objective is given: `simcse` for single texts, `contrastive` for pairs without a label and for
        anchors with positives and negatives, `cosent` for pairs with a score, `softmax` for pairs with a class.

        Raises `DataError` for examples that the objective cannot learn from.
        """
        cls.check_options(options)
        mode: PoolingMode | None = options.pop("pooling", None)
        if mode is not None:
            options["pooling"] = Pooling(mode)
        objective = options.pop("loss", None) or _usual_objective(examples)
        task = cls(objective=objective, **options)
        _check_kind(task.objective, examples)
        if task.objective == "softmax" and examples.labels is not None:
            names = [label_name(label, examples.where(row)) for row, label in enumerate(examples.labels)]
            task = replace(task, labels=ordered(names))
        elif examples.labels is not None and (scores := numbers_of(examples.labels)) is not None:
            task = replace(task, scale=(float(scores.min()), float(scores.max())))
        if len(task.labels) == 1:
            raise DataError(f"{examples.where(0)}: every pair has the label {task.labels[0]!r}; give some of others")
        if task.objective in ("cosine", "cosent") and task.scale[0] == task.scale[1]:
            raise DataError(f"{examples.where(0)}: every score is {task.scale[0]:g}; give pairs of others, too")
        return task

    def check(self, examples: Groups) -> None:
        """Every text and every number can be evaluated on."""

    def fitted_to(self, checkpoint: Checkpoint) -> Self:
        """The task with the pooling and the prompts of a checkpoint, where none are given."""
        said = checkpoint.sentence or SentenceFiles(Pooling())
        return replace(
            self, pooling=self.pooling or said.pooling, prompts=said.prompts, default_prompt=said.default_prompt
        )

    def build(self, config: BertConfig, generator: torch.Generator) -> SentenceModel:
        """The model, its weights random."""
        return SentenceModel(config, self.pooling or Pooling(), len(self.labels), generator)

    def sentence_files(self, model: SentenceModel, max_length: int) -> SentenceFiles:
        """What sentence-transformers is to know of the model."""
        return SentenceFiles(model.head.pooling, linear_map_of(model), max_length, self.prompts, self.default_prompt)

    def settings(self) -> dict[str, Any]:
        """The options; what the files of sentence-transformers say, and what only training needs, is left out."""
        elsewhere = ("pooling", "prompts", "default_prompt", "labels")
        return {name: value for name, value in asdict(self).items() if name not in elsewhere}

    def encode(self, examples: Groups, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a text, one row a group; target ``texts`` says which texts are equal, ``score``, ``label`` and
        ``positive`` what is known of pairs."""
        number, size = len(examples), len(examples.texts)
        texts = [text for group in zip(*examples.texts, strict=True) for text in group]
        sequences = tokenizer.encode(self.prompted(texts), max_length=max_length)
        known: dict[str, int] = {}
        numbers = np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)
        return Encoded(
            sequences,
            np.arange(0, number * size + 1, size, dtype=np.int64),
            {"texts": numbers.reshape(number, size), **self._targets(examples)},
            cut=sequences.cut.reshape(number, size).sum(1),
            counts={"text without tokens": count_empty(sequences)},
        )

    def prompted(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts with the prompt before them that all are to have, if there is one."""
        prompt = self.prompts.get(self.default_prompt or "", "")
        return [prompt + text for text in texts] if prompt else texts

    def _targets(self, examples: Groups) -> dict[str, NDArray[Any]]:
        if examples.labels is None:
            return {}
        scores = numbers_of(examples.labels)
        targets: dict[str, NDArray[Any]] = {} if scores is None else {"score": scores}
        if self.labels:
            by_name = {name: number for number, name in enumerate(self.labels)}
            names = [label_name(label, examples.where(row)) for row, label in enumerate(examples.labels)]
            if scores is None or set(names) <= set(by_name):
                found = [number_of(name, by_name, examples.where(row)) for row, name in enumerate(names)]
                targets["label"] = np.array(found, dtype=np.int64)
        if scores is not None:
            low, high = self.scale
            targets["positive"] = (scores - low) >= _ALIKE * (high - low)
        return targets

    def training_loss(self, model: SentenceModel, batch: Batch) -> Loss:
        """The objective on a batch of groups."""
        if self.objective == "simcse":
            return self.loss(model(_twice(batch)), batch)
        if self.objective == "softmax":
            first, second = self._groups(model.pooled(batch), batch).unbind(1)
            return class_loss(
                model.classify(first, second),
                batch.targets["label"],
                label_smoothing=self.label_smoothing,
                focal_gamma=self.focal_gamma,
            )
        return self.loss(model(batch), batch)

    def evaluation_loss(self, outputs: NDArray[np.float32], encoded: Encoded) -> None:
        """None: what is evaluated on need not be what the objective is for."""

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Every objective but `softmax`, which has weights of its own. Shape: logits (B, E), vectors of B texts, twice
        as many for `simcse`."""
        vectors = torch.stack(logits.chunk(2), 1) if self.objective == "simcse" else self._groups(logits, batch)
        widths = [vectors.shape[-1], *(width for width in self.matryoshka if width < vectors.shape[-1])]
        losses = [self._loss_of(vectors[..., :width], batch) for width in widths]
        return Loss(sum((one.sum for one in losses[1:]), losses[0].sum), losses[0].count)

    def _loss_of(self, vectors: Tensor, batch: Batch) -> Loss:
        targets = batch.targets
        if self.objective == "triplet":
            return triplet_loss(vectors[:, :3], margin=self.margin)
        if self.objective == "cosent":
            return cosent_loss(vectors, targets["score"], temperature=self.temperature)
        if self.objective == "cosine":
            low, high = self.scale
            return cosine_loss(vectors, (targets["score"] - low) / (high - low))
        texts = targets["texts"].repeat(1, 2) if self.objective == "simcse" else targets["texts"]
        return contrastive_loss(
            vectors, texts, targets.get("positive"), temperature=self.temperature, symmetric=self.symmetric
        )

    def _groups(self, vectors: Tensor, batch: Batch) -> Tensor:
        """(B, E) -> (R, K, E)."""
        return vectors.view(*batch.targets["texts"].shape, vectors.shape[-1])

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> list[Answer]:
        """The vector of each text, or the cosine of each pair."""
        if len(examples.texts) == 1:
            return [{"vector": vector} for vector in outputs.tolist()]
        return [{"similarity": cosine} for cosine in _cosines(outputs, encoded).tolist()]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> dict[str, float]:
        """Of pairs with a score ``spearman`` and ``pearson`` of their cosines; of pairs without, and of anchors with
        negatives, those of finding each positive among all (see `retrieval_scores`), and with negatives also
        ``triplet_accuracy``; of single texts ``uniformity``."""
        vectors = unit(outputs)
        texts = encoded.row_targets["texts"]
        if texts.shape[1] == 1:
            return {"uniformity": uniformity(vectors[:_MOST_FOR_UNIFORMITY])}
        if "score" in encoded.row_targets:
            scores = number_scores(_cosines(outputs, encoded), encoded.row_targets["score"].astype(np.float64))
            return {name: scores[name] for name in ("spearman", "pearson")}
        if examples.labels is not None:
            raise DataError(
                f"{examples.where(0)}: the label {examples.labels[0]!r} is no number, and vectors are scored by "
                "numbers; give --eval with pairs that have a score, or --validation 0"
            )
        groups = vectors.reshape(*texts.shape, -1)  # (R, K, E)
        scores = _found(groups, texts)
        if texts.shape[1] > 2:
            nearer = np.einsum("re,rke->rk", groups[:, 0], groups[:, 1:])  # (R, K - 1)
            scores["triplet_accuracy"] = float((nearer[:, :1] > nearer[:, 1:]).all(1).mean())
        return scores

    def metric_among(self, scores: Mapping[str, float]) -> str:
        """The score to go by: of pairs with a score, else of retrieval, else of single texts."""
        return next(name for name in ("spearman", "mrr@10", "uniformity") if name in scores)

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> Insight:
        """Cosines against scores, brought to the same scale, and those farthest off."""
        if "score" not in encoded.row_targets or len(examples.texts) != 2:
            return Insight()
        scores = encoded.row_targets["score"]
        low, high = scores.min(), scores.max()
        regression = Regression((scores - low) / max(high - low, 1e-9), _cosines(outputs, encoded))
        return Insight(regression=regression, mistakes=widest_misses(regression, *examples.texts))

    def examples_of_texts(self, texts: Sequence[Any]) -> Groups:
        """Strings, pairs of strings, or mappings by column name."""
        return groups_of_inputs(texts)


def _check_kind(objective: Objective, examples: Groups) -> None:
    """Raise `DataError` for groups without what an objective compares."""
    size = len(examples.texts)
    scored = examples.labels is not None and numbers_of(examples.labels) is not None
    needed = {
        "contrastive": (size >= 2, "pairs, or anchors with positives and negatives"),
        "triplet": (size >= 3, "an anchor, a positive and a negative (columns of these names)"),
        "cosine": (scored, "a score for each pair (a column score, or --label)"),
        "cosent": (scored, "a score for each pair (a column score, or --label)"),
        "softmax": (examples.labels is not None, "a label for each pair (a column label, or --label)"),
        "simcse": (True, ""),
    }
    holds, what = needed[objective]
    if not holds:
        raise DataError(f"{examples.where(0)}: loss {objective} needs {what}")


def _usual_objective(examples: Groups) -> Objective:
    if len(examples.texts) == 1:
        return "simcse"
    if examples.labels is None:
        return "contrastive"
    scores = numbers_of(examples.labels)
    if scores is not None and (len(np.unique(scores)) > _FEW or (scores % 1).any()):
        return "cosent"
    return "softmax"


def _twice(batch: Batch) -> Batch:
    """All sequences of a batch, and all of them again."""
    return Batch(
        torch.cat([batch.ids, batch.ids]),
        torch.cat([batch.segments, batch.segments]),
        torch.cat([batch.lengths, batch.lengths]),
    )


def _cosines(outputs: NDArray[np.float32], encoded: Encoded) -> NDArray[np.float64]:
    """The cosine of each pair: (2 * R, E) -> (R,)."""
    pairs = unit(outputs).reshape(len(encoded), -1, outputs.shape[1]).astype(np.float64)
    cosines: NDArray[np.float64] = (pairs[:, 0] * pairs[:, 1]).sum(1)
    return cosines


def _found(groups: NDArray[np.float32], texts: NDArray[np.int64]) -> dict[str, float]:
    """How well each anchor finds its positives among all texts that are no anchors. Equal texts count once.

    Shape: groups (R, K, E); texts (R, K).
    """
    documents, first = np.unique(texts[:, 1:], return_index=True)
    vectors = groups[:, 1:].reshape(-1, groups.shape[2])[first]
    asked, firsts = np.unique(texts[:, 0], return_index=True)
    relevant: list[list[int]] = [[] for _ in asked]
    for query, document in zip(
        np.searchsorted(asked, texts[:, 0]).tolist(), np.searchsorted(documents, texts[:, 1]).tolist(), strict=True
    ):
        relevant[query].append(document)
    return retrieval_scores(groups[firsts, 0], vectors, [np.unique(right) for right in relevant])
