"""What a task is: its columns, how a row becomes tokens, its head, its loss, its decoding and its metrics.

Adding a task is adding a file beside this one, its name to the registry, its options to `bertsmith.stages.options` and
a few words to the model card (`bertsmith.report.card`). Nothing else in the project knows what a label or a span is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.checkpoint.folder import Checkpoint
from bertsmith.checkpoint.sentence_files import SentenceFiles
from bertsmith.errors import SettingsError, nearest
from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.heads import BertModel, EncoderModel, ProblemType
from bertsmith.tables.table import Table
from bertsmith.tasks.insight import Insight
from bertsmith.text.ragged import Ragged, bounds_of, gather_places
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss

Answer = dict[str, Any]  # one prediction as it is written to JSON


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; ``None`` means: find it by its usual names (each task lists its own)."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Examples(ABC):
    """What every task's examples tell the rest of the project about themselves.

    where: names the place an example came from: ``train.tsv, line 12``
    """

    where: Callable[[int], str] = field(repr=False)

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @property
    def groups(self) -> Sequence[Hashable] | None:
        """One an example: those of one group belong on one side of a split; ``None`` where each stands alone."""
        return None

    @abstractmethod
    def shown(self, row: int) -> tuple[str, ...]:
        """The texts of one example as a person reads them."""


@dataclass(frozen=True)
class Encoded:
    """A split of examples, tokenized.

    sequences:     S sequences of N tokens
    rows:          (R+1,) int64: training row ``r`` is sequences ``rows[r]:rows[r + 1]``. One sequence a row for every
                   task but `choose`, whose row is all the endings of one question
    row_targets:   arrays (R, ...) by row
    token_targets: arrays (N,) by token
    notes:         arrays of any shape that decoding needs; never part of a batch
    cut:           (E,) tokens of each example beyond ``max_length``, which are not read; empty where all are read
    counts:        what a person should hear of before training, by what one of them is (``text without tokens``, ...)
    """

    sequences: Ragged
    rows: NDArray[np.int64]
    row_targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    token_targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    cut: NDArray[np.integer[Any]] = field(default_factory=lambda: np.empty(0, np.int64))
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of training rows."""
        return len(self.rows) - 1

    @property
    def num_cut(self) -> int:
        """Examples that are not read whole."""
        return int(np.count_nonzero(self.cut))

    @property
    def row_tokens(self) -> NDArray[np.int64]:
        """Tokens in each training row, (R,)."""
        tokens: NDArray[np.int64] = np.diff(self.sequences.bounds[self.rows])
        return tokens

    @property
    def used_ids(self) -> NDArray[np.int64]:
        """Sorted ids of all tokens that occur."""
        return np.unique(self.sequences.ids).astype(np.int64)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The named training rows as one packed batch on the CPU."""
        sequences, _ = gather_places(self.rows, rows)
        places, bounds = gather_places(self.sequences.bounds, sequences)
        targets = {name: torch.from_numpy(values[rows]) for name, values in self.row_targets.items()}
        targets |= {name: torch.from_numpy(values[places]) for name, values in self.token_targets.items()}
        return Batch(
            ids=torch.from_numpy(self.sequences.ids[places].astype(np.int64)),
            segments=torch.from_numpy(self.sequences.segments[places].astype(np.int64)),
            lengths=torch.from_numpy(np.diff(bounds)),
            targets=targets,
        )

    @staticmethod
    def concatenate(parts: Sequence[Encoded]) -> Encoded:
        """One split of all the training rows of ``parts``, in order. What is of a part is left out: notes, cut, counts.

        Raises `ValueError` where the parts have different targets.
        """
        return Encoded(
            Ragged.concatenate([part.sequences for part in parts]),
            bounds_of(np.concatenate([np.diff(part.rows) for part in parts] or [np.empty(0, np.int64)])),
            _joined([part.row_targets for part in parts]),
            _joined([part.token_targets for part in parts]),
        )


@dataclass(frozen=True)
class Task(ABC):
    """One kind of question asked of an encoder. Instances are frozen dataclasses: labels and settings, no tensors.

    Every task has `Examples` of its own, made by `read`.
    """

    name: ClassVar[str]
    head: ClassVar[Literal["sequence", "choice", "token", "span", "sentence"]]
    metric: ClassVar[str]  # the score that keep-best and early stopping look at; greater is better
    percent: ClassVar[bool] = False  # scores go to 100, not to 1
    continuous: ClassVar[bool] = False  # labels are numbers on a scale, not classes
    options: ClassVar[tuple[str, ...]] = ()  # what `learn` takes beside the examples
    default_max_length: ClassVar[int] = 256  # tokens that a sequence may have unless told otherwise
    takes_lines: ClassVar[bool] = False  # trains on plain lines of text, too
    whole_batches: ClassVar[bool] = False  # the loss compares the rows of a batch, which must not be split into passes

    @classmethod
    @abstractmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Examples:
        """Examples of a table. ``labelled=False`` reads texts alone (for predictions)."""

    @classmethod
    def strata(cls, examples: Any) -> Sequence[Hashable]:
        """The class of each example for a stratified split, or with ``continuous`` its number; alike where a random
        split is as good."""
        return [()] * len(examples)

    @classmethod
    @abstractmethod
    def learn(cls, examples: Any, **options: Any) -> Self:
        """The task as the training examples show it: its label names and settings.

        Raises `DataError` for examples that nothing can be learnt from, `SettingsError` for an option that is not among
        ``cls.options`` or has an impossible value.
        """

    @property
    def num_outputs(self) -> int:
        """Width of the head's output: one for each name, or one."""
        return len(self.label_names or ("",))

    @property
    def label_names(self) -> Sequence[str] | None:
        """The name of each output by number, as ``config.json`` keeps them; ``None`` where outputs have no names."""
        return None

    @property
    def problem(self) -> ProblemType | None:
        """What transformers calls ``problem_type``; ``None`` for heads that have none."""
        return None

    def label_sets(self, examples: Any) -> Sequence[Sequence[str]] | None:
        """The labels that hold for each example; ``None`` where examples have no labels to count."""
        return None

    def count_labels(self, examples: Any) -> dict[str, int]:
        """Examples of each label, in label order; empty where there are no labels to count."""
        label_sets = self.label_sets(examples)
        if label_sets is None:
            return {}
        counts = Counter(name for names in label_sets for name in names)
        return {name: counts[name] for name in self.label_names or ()}

    @abstractmethod
    def check(self, examples: Any) -> None:
        """Raise `DataError` for labels this task does not know, as `encode` does, but without the work of tokens."""

    @abstractmethod
    def encode(self, examples: Any, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """Examples to tokens and targets. Raises `DataError` for labels this task does not know."""

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Loss of the head's output: (B, C) for heads by sequence, (N, C) for heads by token."""

    def training_loss(self, model: Any, batch: Batch) -> Loss:
        """Loss of a model on a batch: that of its output, unless the loss has weights or passes of its own."""
        return self.loss(model(batch).float(), batch)

    def evaluation_loss(self, outputs: NDArray[np.float32], encoded: Encoded) -> float | None:
        """The mean loss of labelled examples, ``None`` for a task whose loss is of training alone."""
        return float(self.loss(torch.from_numpy(outputs), encoded.batch(np.arange(len(encoded)))).mean)

    def metric_among(self, scores: Mapping[str, float]) -> str:
        """The score to go by, for a task whose scores depend on the data."""
        return self.metric

    def fitted_to(self, checkpoint: Checkpoint) -> Self:
        """The task on the encoder of this checkpoint, for a task that takes more from it than weights."""
        return self

    def build(self, config: BertConfig, generator: torch.Generator) -> EncoderModel:
        """The model with this task's head, its weights random."""
        assert self.head != "sentence"
        return BertModel(config, self.head, self.num_outputs, generator)

    def sentence_files(self, model: Any, max_length: int) -> SentenceFiles | None:
        """What sentence-transformers is to know of the model, for a task it has a use for."""
        return None

    @abstractmethod
    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Any) -> list[Answer]:
        """One answer an example from the outputs of all sequences, (S, C) or (N, C)."""

    @abstractmethod
    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Any) -> dict[str, float]:
        """Metrics of labelled examples, ``loss`` not among them."""

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Any) -> Insight:
        """What the answers to labelled examples show beside their scores; a task may have nothing to say."""
        return Insight()

    def settings(self) -> dict[str, Any]:
        """What ``bertsmith.json`` keeps: enough for ``type(self)(**settings)`` to make this task again."""
        return asdict(self)

    @abstractmethod
    def examples_of_texts(self, texts: Sequence[Any]) -> Examples:
        """Unlabelled examples of what a person passes to ``predict``: strings, pairs, or dicts by column name."""

    @classmethod
    def check_options(cls, given: Mapping[str, Any]) -> None:
        """Raise `SettingsError` for an option that this task does not have."""
        for name in given:
            if name not in cls.options:
                hint = nearest(name, cls.options) if cls.options else "it has no options"
                raise SettingsError(f"task {cls.name!r} has no option {name!r}; {hint}")


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays of each name, end to end."""
    names = list(parts[0]) if parts else []
    if any(set(part) != set(names) for part in parts):
        raise ValueError(f"parts with different targets: {[sorted(part) for part in parts]}")
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
