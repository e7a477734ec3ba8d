"""The steps of pretraining: a corpus's stream of instances as batches.

Enters: a `Stream`. Leaves: packed batches with the targets of `bertsmith.training.objectives`. While one step is
computed the next is built, in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.corpus.instances import MaskedBatch, Stream
from bertsmith.model.batch import Batch
from bertsmith.text.ragged import runs_within
from bertsmith.training.processes import ALONE, Processes


class CorpusPlan:
    """Every instance of a corpus once an epoch, in an order that the seed decides.

    processes: of several, each computes its share of every step: every n-th instance
    """

    def __init__(self, stream: Stream, *, pass_tokens: int, processes: Processes = ALONE) -> None:
        self.stream = stream
        self.pass_tokens = pass_tokens
        self.processes = processes
        self.batch_size = stream.batch_size
        self.steps_per_epoch = stream.steps_per_epoch()
        self.tokens_per_epoch = sum(shard.tokens for shard in stream.corpus.shards)
        self._part = slice(processes.rank, None, processes.number)
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="instances")
        self._building: dict[int, Future[MaskedBatch]] = {}

    @property
    def used_ids(self) -> NDArray[np.int64]:
        return self.stream.used_ids

    def num_rows(self, step: int) -> int:
        return self.batch_size

    def batches(self, step: int) -> Iterator[Batch]:
        built = self._build(step).result()
        self._build(step + 1)
        step_masked = self.processes.total(float(len(built.masked_ids)))
        for low, high in runs_within(built.lengths, self.pass_tokens):
            yield to_batch(built.part(low, high), share=(high - low) / self.batch_size, step_masked=step_masked)

    def close(self) -> None:
        """End the thread that builds; what it has begun is not waited for."""
        self._builder.shutdown(wait=False, cancel_futures=True)

    def _build(self, step: int) -> Future[MaskedBatch]:
        """The batch of a step, begun now unless it was begun already; the ones before it are forgotten."""
        if step not in self._building:
            self._building[step] = self._builder.submit(self.stream.step, step, self._part)
        self._building = {number: future for number, future in self._building.items() if number >= step}
        return self._building[step]


def to_batch(built: MaskedBatch, *, share: float, step_masked: float) -> Batch:
    """The batch as the model takes it. ``share`` and ``step_masked``: see `bertsmith.training.objectives`."""
    return Batch(
        ids=torch.from_numpy(built.ids),
        segments=torch.from_numpy(built.segments),
        lengths=torch.from_numpy(built.lengths),
        targets={
            "masked_places": torch.from_numpy(built.masked_places),
            "masked_ids": torch.from_numpy(built.masked_ids),
            "random_next": torch.from_numpy(built.random_next.astype(np.int64)),
            "share": torch.tensor([share]),
            "step_masked": torch.tensor([step_masked]),
        },
    )
