"""fill: a text with [MASK] in it -> the tokens that may stand there."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from bertsmith.engine.language_model import Guess, LanguageModel
from bertsmith.errors import SettingsError
from bertsmith.files import dump_json
from bertsmith.training.options import PrecisionName


@dataclass(frozen=True)
class FillSettings:
    """Options of `fill`."""

    model: str
    """Model with a head that guesses tokens: a folder of bertsmith pretrain, or a name on the hub."""
    text: Annotated[tuple[str, ...], Parameter(negative=())]
    """Text with one [MASK] or more; again for more texts."""
    top: int = 5
    """Guesses for each [MASK]."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print JSON lines, one for each text."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    precision: PrecisionName = "fp32"
    """Number format of matrix products."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise SettingsError(f"--top is {self.top}; it must be 1 or more")


def fill(settings: FillSettings) -> list[list[list[Guess]]]:
    """Print the most probable tokens for every [MASK] of every text, and return them."""
    model = LanguageModel.open(settings.model, device=settings.device, precision=settings.precision)
    answers = [model.fill(text, top=settings.top) for text in settings.text]
    as_json = settings.json or not sys.stdout.isatty()
    for text, masks in zip(settings.text, answers, strict=True):
        if as_json:
            print(dump_json({"text": text, "masks": [[asdict(guess) for guess in guesses] for guesses in masks]}))
        else:
            _show(text, masks)
    return answers


def _show(text: str, masks: list[list[Guess]]) -> None:
    """A table for each [MASK]."""
    console = Console()
    for number, guesses in enumerate(masks, start=1):
        title = text if len(masks) == 1 else f"{text}  ([MASK] {number} of {len(masks)})"
        table = Table("token", "probability", "text", title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for guess in guesses:
            table.add_row(guess.token, f"{guess.probability:.3f}", guess.text)
        console.print(table, markup=False)
