"""bertsmith in Python: the verbs of the command line as functions.

Enters: options by the names of their flags; data as paths, tables, rows or data frames. Leaves: a `TaskModel`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.engine import TaskModel
from bertsmith.settings import from_flat
from bertsmith.tables.memory import Data, path_or_table

if TYPE_CHECKING:
    from bertsmith.stages.inspect import ModelFacts
    from bertsmith.training.options import PrecisionName


def finetune(
    train: Data,
    out: str | os.PathLike[str],
    task: str = "classify",
    *,
    eval: Data | None = None,
    quiet: bool = False,
    **options: Any,
) -> TaskModel:
    """Fine-tune an encoder on a task, as ``bertsmith finetune`` does, and return the model.

    train, eval: a file, an ``hf://`` address, ``pydocs``, a `Table`, rows as dicts, or a DataFrame of pandas or polars
    out:         folder for the model, its log and its report
    task:        classify, regress, choose, tag or answer
    quiet:       tell nothing on standard error
    options:     any flag of ``bertsmith finetune`` by its name, ``lr=1e-4, epochs=3, max_length=128``; where a flag
                 takes words parted by commas (``columns``), a list of them is fine, and for ``class_weights`` a dict

    Raises `BertsmithError` for whatever the caller can put right, `SettingsError` among it for an unknown option.

    >>> rows = [{"text": "a fine day", "label": "good"}, {"text": "a sad one", "label": "bad"}, ...]
    >>> model = finetune(rows, "runs/moods", epochs=4)                             # doctest: +SKIP
    """
    from rich.console import Console

    from bertsmith.stages.finetune import finetune as run  # draws figures: not for those who only load
    from bertsmith.stages.finetune_settings import FinetuneSettings

    values = {name: _as_flag(value) for name, value in {**options, "out": out, "task": task}.items()}
    values |= {"train": path_or_table(train, "train"), "eval": None if eval is None else path_or_table(eval, "eval")}
    settings = from_flat(FinetuneSettings, values)
    return run(settings, console=Console(stderr=True, quiet=True) if quiet else None)


def load(
    name: str | Path,
    *,
    max_length: int | None = None,
    device: str = "auto",
    precision: PrecisionName = "fp32",
) -> TaskModel:
    """The model of a folder, or of a name on the hub, ready to ``predict``, ``evaluate`` and ``save``.

    max_length: tokens that a sequence may have; as many as in training unless given, or for a folder by other software
                as many as its tokenizer says and the encoder reads
    device:     cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    precision:  fp32 answers alike on every machine; auto is the fastest format here; bf16, fp16

    What is odd about its files is in ``model.news``, a line each.

    Raises `CheckpointError` for a folder that is missing, damaged, or has no task, `SettingsError` for a ``max_length``
    beyond what the encoder reads.
    """
    return TaskModel.open(name, max_length=max_length, device=device, precision=precision)


def inspect(name: str | Path) -> ModelFacts:
    """What the model of a folder, or of a name on the hub, is: task, sizes, training, every tensor's name and shape.

    Raises `CheckpointError` for a folder that is missing or damaged.
    """
    from bertsmith.stages.inspect import facts_of_folder

    return facts_of_folder(os.fspath(name))


def _as_flag(value: Any) -> Any:
    """An option's value as the command line has it: paths, lists and dicts as text, numpy's numbers as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return value
