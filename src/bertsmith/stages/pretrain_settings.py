"""Options of `pretrain`, all in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from bertsmith.corpus.instances import InstanceOptions
from bertsmith.errors import SettingsError
from bertsmith.model.heads import PretrainingKind
from bertsmith.training import FitOptions

DEFAULT_EPOCHS = 1.0
DEFAULT_PRESET = "L4-H256"


@dataclass(frozen=True)
class PretrainSettings:
    """Options of `pretrain`."""

    corpus: str
    """Folder of the corpus, from bertsmith prepare."""
    out: str
    """Folder for the model, its log and its report."""
    preset: str | None = None
    """Published size to start from random weights: L2-H128, L4-H256, ..., base, large. [default: L4-H256]"""
    model: str | None = None
    """Model to go on from instead: a folder, or a name on the hub; for a second phase, or for a domain."""
    dropout: float | None = None
    """Dropout everywhere in the model; as its configuration has it (0.1), if not given."""
    resume: bool = False
    """Go on with the run in --out where it was stopped or killed."""
    overwrite: bool = False
    """Replace the run that is in --out."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""

    instances: Annotated[InstanceOptions, Parameter(name="*", group="Instances")] = field(
        default_factory=InstanceOptions
    )
    fit: Annotated[FitOptions, Parameter(name="*", group="Training")] = field(default_factory=FitOptions)

    def __post_init__(self) -> None:
        if self.preset is not None and self.model is not None:
            raise SettingsError("--preset and --model contradict each other; give one of them")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise SettingsError(f"--dropout is {self.dropout:g}; it must be 0 or more and under 1")
        if self.resume and self.overwrite:
            raise SettingsError("--resume and --overwrite contradict each other; give one of them")
        if not self.fit.has_stop:
            object.__setattr__(self, "fit", dataclasses.replace(self.fit, epochs=DEFAULT_EPOCHS))

    @property
    def kind(self) -> PretrainingKind:
        """The published head that is trained."""
        return "pretraining" if self.instances.pairs else "masked"
