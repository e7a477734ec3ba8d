"""What an engine is: tokens in, the head's outputs out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertsmith.text.ragged import Ragged


class Engine(Protocol):
    """Computes a model's outputs, in whatever order and batches are fastest.

    name: of the software that does, for a person
    """

    name: str

    @property
    def lanes(self) -> int:
        """Calls of `outputs` that are best made at once, each from a thread of its own. More are safe."""

    @property
    def lane_tokens(self) -> int:
        """Tokens of a call from which on a larger one is no faster by token."""

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        """The shape of their outputs: (S, C) for heads by sequence, (N, C) for heads by token."""

    def prepare(self, sequences: Ragged) -> None:
        """Do now what the first call would have to do before it computes sequences like these."""

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        """Outputs of that `shape`, in the order of the sequences."""
