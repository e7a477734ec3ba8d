"""Options of `instances`, all in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from bertsmith.corpus.instances import PaddedInstanceOptions
from bertsmith.errors import SettingsError


@dataclass(frozen=True)
class InstancesSettings:
    """Options of `instances`."""

    corpus: str
    """Folder of the corpus, from bertsmith prepare."""
    out: str
    """Folder for the files."""
    passes: int = 10
    """Times through the corpus, each with other pairs and masks: dupe_factor there."""
    seed: int = 12345
    """Decides pairs, masks and order: random_seed there."""
    overwrite: bool = False
    """Replace the instances that are in --out."""

    instances: Annotated[PaddedInstanceOptions, Parameter(name="*", group="Instances")] = field(
        default_factory=PaddedInstanceOptions
    )

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise SettingsError(f"--passes is {self.passes}; it must be 1 or more")
