"""Further files to train on, beside the one that a run is about.

Enters: what ``--also`` names. Leaves: their rows as tokens, each file with a loss of its own, for one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from bertsmith.engine import TaskModel
from bertsmith.errors import SettingsError
from bertsmith.model import Batch
from bertsmith.model.heads import EncoderModel
from bertsmith.stages.options import ColumnOptions
from bertsmith.stages.splits import open_table
from bertsmith.tasks import Encoded
from bertsmith.tasks.embed import Embed, Objective
from bertsmith.tasks.groups import Groups
from bertsmith.training import Loss, LossFunction
from bertsmith.training.mixture import SOURCE


@dataclass(frozen=True)
class Read:
    """A file as it was read, and what it shows to be trained with."""

    source: str
    task: Embed
    examples: Groups


@dataclass(frozen=True)
class Further:
    """A file, what its rows are trained with, and the rows as tokens."""

    source: str
    task: Embed
    encoded: Encoded


def read_further(names: Sequence[str], columns: ColumnOptions, labels: tuple[str, ...]) -> list[Read]:
    """The files, each with the loss that stands before its name, or that its columns suggest.

    labels: the classes of the file that the run is about, if it has any

    Raises `DataError` as reading them does, and `SettingsError` for two files whose classes differ: there is one
    classifier of pairs of vectors.
    """
    found = []
    for name in names:
        loss, colon, path = name.partition(":")
        given = colon and loss in get_args(Objective)
        table = open_table(path if given else name, columns, lines=True)
        examples = Embed.read(table, columns.parts)
        task = Embed.learn(examples, loss=loss if given else None)
        if task.labels and labels and task.labels != labels:
            raise SettingsError(
                f"--also {name}: classes {', '.join(task.labels)}, where another file has {', '.join(labels)}; one "
                "model learns one set of classes"
            )
        labels = labels or task.labels
        found.append(Read(table.path, task, examples))
    return found


def encode_further(files: Sequence[Read], model: TaskModel) -> list[Further]:
    """The files as tokens of a model, to be trained as the model is but for what each shows of itself."""
    encoded = []
    for file in files:
        assert isinstance(model.task, Embed)
        shown = file.task
        task = replace(model.task, objective=shown.objective, labels=shown.labels, scale=shown.scale)
        rows = task.encode(file.examples, model.tokenizer, model.max_length)
        encoded.append(Further(file.source, task, rows))
    return encoded


def loss_by_source(losses: Sequence[LossFunction]) -> LossFunction:
    """The loss of the file that a batch came from."""

    def loss(model: EncoderModel, batch: Batch) -> Loss:
        return losses[int(batch.targets[SOURCE])](model, batch)

    return loss
