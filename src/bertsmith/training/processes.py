"""Training by several processes at once, each with a part of every batch: torch's process group, as torchrun starts it.

Each process computes the gradient of its part; the sums of all are the gradient of the whole, so that all take the same
update, and their weights stay alike without being sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as group
from torch import Tensor

from bertsmith.errors import SettingsError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    rank:   its number, from 0; the first writes the files and talks to the user
    number: of processes
    """

    rank: int = 0
    number: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add_up(self, tensor: Tensor) -> None:
        """Put the sum over all processes in place of ``tensor``, of the same shape in each."""
        if self.number > 1:
            group.all_reduce(tensor)

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.number == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=_device())
        self.add_up(held)
        return held.item()

    def as_first(self, tensor: Tensor) -> None:
        """Put what the first process has in place of ``tensor``, of the same shape in each."""
        if self.number > 1:
            group.broadcast(tensor, 0)

    def of_first(self, value: float) -> float:
        """The number that the first process has: what clocks say must be the same for all."""
        return self.total(value if self.first else 0.0)


ALONE = Processes()


@contextmanager
def processes_of_launcher(device: str = "auto") -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone. NCCL connects those on GPUs, gloo those on CPUs.

    device: as the user named it. Raises `SettingsError` for one that several processes cannot have each for itself.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if device not in ("auto", "cuda"):
            raise SettingsError(f"--device {device}: each process takes a GPU of its own; give --device cuda, or none")
        if own >= there:
            raise SettingsError(
                f"torchrun starts more processes than the {there} GPUs here; give --nproc-per-node {there}"
            )
        torch.cuda.set_device(own)
    group.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield Processes(group.get_rank(), group.get_world_size())
    finally:
        group.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if group.get_backend() == "nccl" else torch.device("cpu")
