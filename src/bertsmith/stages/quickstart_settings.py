"""Options of `quickstart`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuickstartSettings:
    """Options of `quickstart`."""

    out: str = "runs/quickstart"
    """Folder for the model and its report; an earlier quickstart there is replaced."""
    model: str = "starter"
    """Encoder to start from: a folder, starter, or a name on the hub."""
    epochs: float = 3.0
    """Passes over the docstrings."""
    minutes: float = 2.0
    """Stop training after this many minutes, however many passes that were; the learning rate follows the clock."""
    seed: int = 42
    """Same seed, same model, where the minutes suffice."""
