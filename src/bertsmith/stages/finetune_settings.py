"""Options of `finetune`, all in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from bertsmith.errors import SettingsError
from bertsmith.stages.options import ColumnOptions, TaskOptions
from bertsmith.tables import Table
from bertsmith.training import FitOptions

DEFAULT_EPOCHS = 3.0


@dataclass(frozen=True)
class FinetuneSettings:
    """Options of `finetune`."""

    train: Annotated[str | Table, Parameter(accepts_keys=False, n_tokens=1, metavar="FILE")]
    """File to train on: CSV, TSV, JSONL, Parquet, CoNLL columns, SQuAD JSON, any of them hf://; or pydocs."""
    out: str
    """Folder for the model, its log and its report."""
    also: Annotated[tuple[str, ...], Parameter(negative=(), metavar="[LOSS:]FILE")] = ()
    """embed: a further file to train on, as its columns suggest or with the loss before its name; again for more."""
    task: str = "classify"
    """What to train: classify, regress, choose, tag, answer, embed or rerank."""
    model: str = "starter"
    """Encoder to start from: a folder, starter, or a name on the hub."""
    eval: Annotated[str | Table | None, Parameter(accepts_keys=False, n_tokens=1, metavar="FILE")] = None
    """File to evaluate on. Without one, part of the training rows is held out."""
    validation: float = 0.1
    """Share of the training rows to hold out when there is no --eval; 0 holds out nothing."""
    max_length: int | None = None
    """Most tokens of a sequence; 256, for answer 384, or as many as the encoder reads, unless given."""
    new_pooler: bool = False
    """Start the layer between [CLS] and the head anew: what next sentences taught it is in the way of some tasks."""
    dropout: float | None = None
    """Dropout of the encoder, in place of what its config.json says; SimCSE needs some."""
    metric: str | None = None
    """The score that --keep-best and --patience look at, if not the task's own."""
    refit: bool = False
    """After tuning, train again from the start on train + eval for as many epochs as were best."""
    resume: bool = False
    """Go on with the run in --out where it was stopped or killed."""
    overwrite: bool = False
    """Replace the run that is in --out."""
    dry_run: bool = False
    """Take a few steps, evaluate and save once, print the plan, and leave nothing behind."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""

    columns: Annotated[ColumnOptions, Parameter(name="*", group="Columns")] = field(default_factory=ColumnOptions)
    options: Annotated[TaskOptions, Parameter(name="*", group="Task")] = field(default_factory=TaskOptions)
    fit: Annotated[FitOptions, Parameter(name="*", group="Training")] = field(default_factory=FitOptions)

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise SettingsError(f"--validation is {self.validation:g}; it must be 0 or more and under 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise SettingsError(f"--dropout is {self.dropout:g}; it must be 0 or more and under 1")
        if self.also:
            self._check_also()
        if self.resume and self.overwrite:
            raise SettingsError("--resume and --overwrite contradict each other; give one of them")
        if self.eval is None and self.validation == 0:
            for flag, given in (
                ("--refit", self.refit),
                ("--keep-best", self.fit.keep_best),
                ("--patience", self.fit.patience > 0),
                ("--metric", self.metric is not None),
            ):
                if given:
                    raise SettingsError(f"{flag} needs scores to look at; give --eval, or a --validation over 0")
        if not self.fit.has_stop:
            object.__setattr__(self, "fit", dataclasses.replace(self.fit, epochs=DEFAULT_EPOCHS))

    def _check_also(self) -> None:
        if self.task != "embed":
            raise SettingsError(f"--also: the task {self.task!r} trains on one file; leave it out")
        for flag, given in (("--refit", self.refit), ("--dry-run", self.dry_run)):
            if given:
                raise SettingsError(f"{flag} knows one file to train on; leave out --also, or it")
