"""Dropout whose random bits follow from the step alone.

Enters: a key (seed, step, ...) and shapes. Leaves: tensors of 0 and 1 / (1 - rate). Because the bits depend on nothing
else, a resumed run draws what the unbroken one drew, and a layer that is computed twice (gradient checkpointing) gets
the same mask twice.

On the CPU torch draws a mask at about 5 ns an element, on one thread. Here four decisions come from each 64-bit word
of numpy's SFC64, at about 0.5 ns each; the rate is rounded to 1/65536, and the scale to match, so the expectation is
exact. Masks and products with them are in fp32: in bf16 a scale of 1.1111 would be 1.1094, and all that passes 0.15 %
too small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Noise:
    """The source of dropout masks of one model; `seed` it once a step."""

    def __init__(self) -> None:
        self._on_device: dict[torch.device, torch.Generator] = {}
        self.seed(0)

    def seed(self, *key: int) -> None:
        """Start the masks of a step; ``key`` is non-negative integers, such as seed, step, pass."""
        self._key = key
        self.enter(0)

    def enter(self, place: int) -> None:
        """Start the masks of one place of the model (a layer), whatever was drawn before."""
        self._sequence = np.random.SeedSequence((*self._key, place))
        self._bits = np.random.SFC64(self._sequence)
        for generator in self._on_device.values():
            self._start(generator)

    def mask(self, shape: Sequence[int], rate: float, device: torch.device) -> Tensor:
        """A float32 tensor of ``shape`` with 0 at about ``rate`` of its places and 1 / (1 - rate) elsewhere."""
        threshold = min(round(rate * 65536), 65535)
        scale = 65536 / (65536 - threshold)
        if device.type != "cpu":
            draws = torch.rand(*shape, device=device, generator=self._generator(device))
            return (draws >= threshold / 65536).float().mul_(scale)
        size = int(np.prod(shape))
        words = self._bits.random_raw((size + 3) // 4)
        bits = torch.from_numpy(words.view(np.int16))[:size].view(*shape)
        return (bits >= threshold - 32768).float().mul_(scale)

    def drop(self, x: Tensor, rate: float) -> Tensor:
        """``x`` with dropout (Srivastava et al. 2014), same shape; what comes in half the bits leaves in fp32."""
        if rate == 0:
            return x
        return x * self.mask(x.shape, rate, x.device)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._on_device:
            self._on_device[device] = torch.Generator(device=device)
            self._start(self._on_device[device])
        return self._on_device[device]

    def _start(self, generator: torch.Generator) -> None:
        generator.manual_seed(int(self._sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
