"""The engine that runs anywhere torch does.

Enters: ragged sequences. Leaves: outputs in their order. Sequences are sorted by length and cut into batches of about
the same number of tokens, so that attention pads almost nothing and memory is bounded.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.model.batch import Batch
from bertsmith.model.heads import EncoderModel
from bertsmith.text.ragged import Ragged, gather_places, runs_within
from bertsmith.training.options import FitOptions
from bertsmith.training.precision import Precision

_CPU_TOKENS = 1024


class TorchEngine:
    """A model on a device.

    pass_tokens: most tokens computed at once (one sequence at least)
    """

    name = "torch"
    lanes = 1  # every call uses all threads, or the whole GPU

    def __init__(self, model: EncoderModel, precision: Precision, pass_tokens: int = FitOptions.pass_tokens) -> None:
        self.model = model.to(precision.device)
        self.precision = precision
        self.pass_tokens = pass_tokens

    @property
    def lane_tokens(self) -> int:
        """Tokens of a call from which on a larger one is no faster by token."""
        return _CPU_TOKENS if self.precision.device.type == "cpu" else self.pass_tokens

    @property
    def by_token(self) -> bool:
        """Whether the head has outputs by token, not by sequence."""
        return self.model.head_kind in ("token", "span")

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        """The shape of the head's outputs: (S, C) or (N, C)."""
        return len(sequences.ids) if self.by_token else len(sequences), self.model.num_outputs

    def prepare(self, sequences: Ragged) -> None:
        """Nothing is to be done."""

    @torch.inference_mode()
    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        """The head's outputs: (S, C) or (N, C) float32, in the order of ``sequences``."""
        outputs = np.empty(self.shape(sequences), dtype=np.float32)
        self.model.eval()
        for rows in batches_by_length(sequences.lengths, self.pass_tokens):
            places, bounds = gather_places(sequences.bounds, rows)
            batch = Batch(
                ids=self._tensor(sequences.ids[places]),
                segments=self._tensor(sequences.segments[places]),
                lengths=torch.from_numpy(np.diff(bounds)),
            )
            with self.precision.compute():
                logits = self.model(batch).float().cpu().numpy()
            outputs[places if self.by_token else rows] = logits
        return outputs

    def _tensor(self, values: NDArray[np.integer]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(self.precision.device)


def batches_by_length(lengths: NDArray[np.int64], pass_tokens: int) -> list[NDArray[np.int64]]:
    """Rows in batches of similar length with at most ``pass_tokens`` tokens each, the longest first.

    >>> [rows.tolist() for rows in batches_by_length(np.array([3, 9, 4, 2]), 9)]
    [[1], [2, 0, 3]]
    """
    order = np.argsort(-lengths, kind="stable")
    return [order[low:high] for low, high in runs_within(lengths[order], pass_tokens)]
