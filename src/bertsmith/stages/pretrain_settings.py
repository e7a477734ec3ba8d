"""Options of `pretrain`, all in one place, and the phases that a run is made of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

from bertsmith.corpus.instances import InstanceOptions
from bertsmith.errors import SettingsError
from bertsmith.model.heads import PretrainingKind
from bertsmith.settings import by_field, from_flat, to_flat
from bertsmith.training.options import PretrainFitOptions, check_name

DEFAULT_EPOCHS = 1.0
DEFAULT_PRESET = "L4-H256"

_STOPS = ("epochs", "steps", "minutes", "tokens")
_OF_THE_RUN = ("corpus", "out", "preset", "model", "objective", "dropout", "pairs", "resume", "overwrite", "device",
               "phases", "seed", "precision")  # fmt: skip

Objective = Literal["masked+next", "masked", "next", "causal"]
_KINDS: dict[Objective, PretrainingKind] = {
    "masked+next": "pretraining",
    "masked": "masked",
    "next": "next_sentence",
    "causal": "causal",
}


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
    objective: Objective | None = None
    """What is learnt; causal is the next token, as a decoder. [default: masked+next; masked with --no-pairs]"""
    dropout: float | None = None
    """Dropout, in pretraining and in the fine-tuning that follows; as the configuration has it (0.1), if not given."""
    resume: bool = False
    """Go on with the run in --out where it was stopped or killed."""
    overwrite: bool = False
    """Replace the run that is in --out."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    phases: Annotated[str, Parameter(negative=())] = ""
    """Trainings in a row, each from the last one's weights: [[phases]] in TOML; here a JSON list of changes."""

    instances: Annotated[InstanceOptions, Parameter(name="*", group="Instances")] = field(
        default_factory=InstanceOptions
    )
    fit: Annotated[PretrainFitOptions, Parameter(name="*", group="Training")] = field(
        default_factory=PretrainFitOptions
    )

    def __post_init__(self) -> None:
        if self.preset is not None and self.model is not None:
            raise SettingsError("--preset and --model contradict each other; give one of them")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise SettingsError(f"--dropout is {self.dropout:g}; it must be 0 or more and under 1")
        if self.resume and self.overwrite:
            raise SettingsError("--resume and --overwrite contradict each other; give one of them")
        if self.objective is not None:
            check_name("objective", self.objective, get_args(Objective))
            if "next" in self.objective and not self.instances.pairs:
                raise SettingsError(f"--objective {self.objective} learns from pairs; leave out --no-pairs")
            if self.objective == "causal" and self.instances.pairs:  # a decoder reads one text
                object.__setattr__(self, "instances", dataclasses.replace(self.instances, pairs=False))
        if not self.fit.has_stop:
            object.__setattr__(self, "fit", dataclasses.replace(self.fit, epochs=DEFAULT_EPOCHS))
        self.each_phase()  # what is wrong with one is told before anything is begun

    @property
    def kind(self) -> PretrainingKind:
        """The published head that is trained."""
        if self.objective is not None:
            return _KINDS[self.objective]
        return "pretraining" if self.instances.pairs else "masked"

    @property
    def longest(self) -> int:
        """Most tokens in an instance of any phase."""
        return max(one.instances.max_length for one in self.each_phase())

    def each_phase(self) -> list[PretrainSettings]:
        """The settings of each phase of the run, in order: of the only one, where none are named.

        A phase that has a stop of its own has no other. Each draws its instances by a seed of its own: the run's, and
        the numbers that follow it.
        """
        if not self.phases:
            return [self]
        common = {name: value for name, value in to_flat(self).items() if name != "phases"}
        found = []
        for number, named in enumerate(self._named_phases()):
            try:
                changed = by_field(PretrainSettings, named)
                for name in changed:
                    if name in _OF_THE_RUN:
                        raise SettingsError(f"{name} is the same for the whole run; give it once")
                stops = dict.fromkeys(_STOPS) if any(name in changed for name in _STOPS) else {}
                values = {**common, **stops, **changed, "seed": self.fit.seed + number}
                found.append(from_flat(PretrainSettings, values))
            except SettingsError as error:
                raise SettingsError(f"phase {number + 1}: {error}") from None
        return found

    def _named_phases(self) -> list[Mapping[str, Any]]:
        try:
            phases = json.loads(self.phases)
        except ValueError as error:
            raise SettingsError(f"--phases is no JSON ({error}); give a list of objects, or a TOML file") from None
        if not isinstance(phases, list) or not phases or not all(isinstance(one, dict) for one in phases):
            raise SettingsError("--phases must be a list of objects, one or more, each of options by name")
        return [{name.replace("-", "_"): value for name, value in one.items()} for one in phases]
