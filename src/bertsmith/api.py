"""bertsmith in Python: the verbs of the command line as functions.

Enters: options by the names of their flags; data as paths, tables or lists of dicts. Leaves: a `TaskModel`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.engine import TaskModel
from bertsmith.settings import from_flat
from bertsmith.tables import Table

if TYPE_CHECKING:
    from bertsmith.training.options import PrecisionName

Data = str | os.PathLike[str] | Table | Sequence[Mapping[str, Any]]


def finetune(
    train: Data, out: str | Path, task: str = "classify", *, eval: Data | None = None, **options: Any
) -> TaskModel:
    """Fine-tune an encoder on a task, as ``bertsmith finetune`` does, and return the model.

    train, eval: a file, an ``hf://`` address, ``pydocs``, a `Table`, or rows as dicts
    out:         folder for the model, its log and its report
    task:        classify, regress, choose, tag or answer
    options:     any flag of ``bertsmith finetune`` by its name, ``lr=1e-4, epochs=3, max_length=128``; where a flag
                 takes words parted by commas (``columns``), a list of them is fine

    Raises `BertsmithError` for whatever the caller can put right, `SettingsError` among it for an unknown option.

    >>> rows = [{"text": "a fine day", "label": "good"}, {"text": "a sad one", "label": "bad"}, ...]
    >>> model = finetune(rows, "runs/moods", epochs=4)                             # doctest: +SKIP
    """
    from bertsmith.stages.finetune import finetune as run  # draws figures: not for those who only load
    from bertsmith.stages.finetune_settings import FinetuneSettings

    values = {name: ",".join(value) if isinstance(value, list | tuple) else value for name, value in options.items()}
    values |= {"train": _data(train, "train"), "eval": None if eval is None else _data(eval, "eval")}
    return run(from_flat(FinetuneSettings, {**values, "out": os.fspath(out), "task": task}))


def load(name: str | Path, *, device: str = "auto", precision: PrecisionName = "fp32") -> TaskModel:
    """The model of a folder, or of a name on the hub, ready to ``predict``, ``evaluate`` and ``save``.

    device:    cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    precision: fp32 answers alike on every machine; auto is the fastest format here; bf16, fp16

    Raises `CheckpointError` for a folder that is missing, damaged, or has no task.
    """
    return TaskModel.open(name, device=device, precision=precision)


def _data(data: Data, name: str) -> str | Table:
    if isinstance(data, Table):
        return data
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    return Table.from_rows(list(data), path=f"{name} (rows in memory)")
