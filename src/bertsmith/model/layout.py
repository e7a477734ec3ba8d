"""How the tokens of a batch lie in memory: packed end to end, or padded to a rectangle.

Enters: lengths, or a mask. Leaves: what only this decides: each token's position, the first token of each sequence, and
how attention sees tokens grouped by sequence. All other computing is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# Splitting a batch into one more group costs about as much time as this many attention scores a head (measured on
# 2 cores); finer groups would save less padding than they cost.
_GROUP_COST = 40_000


@dataclass(frozen=True)
class Group:
    """Sequences of a batch that attention computes together, padded to the longest of them.

    bias: (b, 1, 1, T) float32, 0 at tokens and -inf at padding, or None where nothing is padded
    """

    bias: Tensor | None


class Layout(Protocol):
    """What the encoder asks of a layout."""

    @property
    def positions(self) -> Tensor:
        """Position of each token in its sequence, shaped as the ids."""

    @property
    def groups(self) -> list[Group]:
        """The groups of sequences attention works on, in the order of `split`."""

    def split(self, x: Tensor) -> list[Tensor]:
        """Tokens x, (N, W) or (B, T, W), as one padded (b, t, W) for each group."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """The inverse of `split`."""

    def first(self, x: Tensor) -> Tensor:
        """The first token, [CLS], of each sequence: (B, W)."""

    def to(self, device: torch.device) -> Layout:
        """The same layout with its tensors on ``device``."""


class PackedLayout:
    """Sequences end to end: N tokens, B sequences, no padding in anything but attention.

    Sequences are grouped by similar length there, so that little of a rectangle is padding.

    lengths: (B,) tokens of each sequence
    """

    def __init__(self, lengths: Tensor, device: torch.device | str = "cpu") -> None:
        self.lengths = lengths.to("cpu", torch.int64).numpy()
        self.device = torch.device(device)
        self.starts = np.zeros(len(self.lengths) + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=self.starts[1:])

    def to(self, device: torch.device) -> PackedLayout:
        if device == self.device:
            return self
        return PackedLayout(torch.from_numpy(self.lengths), device)

    def _tensor(self, values: np.ndarray) -> Tensor:  # type: ignore[type-arg]
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def positions(self) -> Tensor:
        places = np.arange(self.starts[-1], dtype=np.int64)
        return self._tensor(places - np.repeat(self.starts[:-1], self.lengths))

    @cached_property
    def _first(self) -> Tensor:
        return self._tensor(self.starts[:-1])

    def first(self, x: Tensor) -> Tensor:
        return x.index_select(0, self._first)

    @cached_property
    def _rectangles(self) -> list[np.ndarray]:  # type: ignore[type-arg]
        """For each group the places of its tokens, (b, t), with -1 at padding."""
        order = np.argsort(self.lengths, kind="stable")
        rectangles = []
        for low, high in group_by_length(self.lengths[order]):
            rows = order[low:high]
            span = np.arange(self.lengths[rows[-1]])
            places = self.starts[rows][:, None] + span
            rectangles.append(np.where(span < self.lengths[rows][:, None], places, -1))
        return rectangles

    @cached_property
    def groups(self) -> list[Group]:
        groups = []
        for places in self._rectangles:
            padding = places < 0
            bias = np.where(padding, np.float32(-np.inf), np.float32(0))[:, None, None, :]
            groups.append(Group(self._tensor(bias) if padding.any() else None))
        return groups

    @cached_property
    def _in_order(self) -> bool:
        """All sequences have one length: padded and packed are the same memory."""
        return bool((self.lengths == self.lengths[0]).all())

    @cached_property
    def _to_rectangles(self) -> Tensor:
        """(M,) for each place of all rectangles end to end, the token that stands there (N at padding)."""
        flat = np.concatenate([places.reshape(-1) for places in self._rectangles])
        return self._tensor(np.where(flat < 0, self.starts[-1], flat))

    @cached_property
    def _to_tokens(self) -> Tensor:
        """(N,) for each token, its place in all rectangles end to end."""
        flat = np.concatenate([places.reshape(-1) for places in self._rectangles])
        inverse = np.empty(self.starts[-1], dtype=np.int64)
        real = np.flatnonzero(flat >= 0)
        inverse[flat[real]] = real
        return self._tensor(inverse)

    def split(self, x: Tensor) -> list[Tensor]:
        shapes = [places.shape for places in self._rectangles]
        if self._in_order:
            return [x.view(*shapes[0], x.shape[-1])]
        flat: Tensor = _Pad.apply(x, self._to_rectangles, self._to_tokens)  # type: ignore[no-untyped-call]
        parts = flat.split([rows * span for rows, span in shapes])
        return [part.view(*shape, x.shape[-1]) for part, shape in zip(parts, shapes, strict=True)]

    def join(self, parts: list[Tensor]) -> Tensor:
        flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]) if len(parts) > 1 else parts[0]
        flat = flat.reshape(-1, flat.shape[-1])
        if self._in_order:
            return flat
        tokens: Tensor = _Unpad.apply(flat, self._to_rectangles, self._to_tokens)  # type: ignore[no-untyped-call]
        return tokens


class PaddedLayout:
    """Sequences padded to a rectangle, for callers who bring padded tensors, and for export.

    mask: (B, T) true at tokens, false at padding
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask.bool()

    def to(self, device: torch.device) -> PaddedLayout:
        return PaddedLayout(self.mask.to(device))

    @property
    def positions(self) -> Tensor:
        return torch.arange(self.mask.shape[1], device=self.mask.device).expand(*self.mask.shape)

    @property
    def groups(self) -> list[Group]:
        # The lowest finite number, not -inf: a row of padding alone must not become NaN.
        lowest = torch.finfo(torch.float32).min
        bias = torch.zeros(self.mask.shape, device=self.mask.device).masked_fill(~self.mask, lowest)
        return [Group(bias[:, None, None, :])]

    def split(self, x: Tensor) -> list[Tensor]:
        return [x]

    def join(self, parts: list[Tensor]) -> Tensor:
        return parts[0]

    def first(self, x: Tensor) -> Tensor:
        return x[:, 0]


def group_by_length(lengths: np.ndarray) -> list[tuple[int, int]]:  # type: ignore[type-arg]
    """Cut sorted lengths (B,) into runs that waste little attention on padding; half-open (low, high) bounds.

    A run is cut in two at its best place as long as that saves more scores than `_GROUP_COST`.

    >>> group_by_length(np.array([10, 10, 500, 510]))
    [(0, 2), (2, 4)]
    >>> group_by_length(np.array([10, 12, 14]))
    [(0, 3)]
    """
    done: list[tuple[int, int]] = []
    todo = [(0, len(lengths))]
    while todo:
        low, high = todo.pop()
        cuts = np.arange(low + 1, high)
        longest = int(lengths[high - 1])
        saved = (cuts - low) * (longest**2 - lengths[cuts - 1] ** 2) if len(cuts) else np.zeros(0)
        if len(saved) and saved.max() > _GROUP_COST:
            cut = int(cuts[saved.argmax()])
            todo += [(cut, high), (low, cut)]
        else:
            done.append((low, high))
    return done


class _Pad(torch.autograd.Function):
    """Packed (N, W) to rectangles end to end (M, W), zero at padding. Both directions are gathers."""

    @staticmethod
    def forward(ctx, x, to_rectangles, to_tokens):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(to_tokens)
        return torch.cat([x, x.new_zeros(1, x.shape[1])]).index_select(0, to_rectangles)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (to_tokens,) = ctx.saved_tensors
        return gradient.index_select(0, to_tokens), None, None


class _Unpad(torch.autograd.Function):
    """The inverse of `_Pad`: what stands at padding is dropped, and gets no gradient."""

    @staticmethod
    def forward(ctx, x, to_rectangles, to_tokens):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(to_rectangles)
        return x.index_select(0, to_tokens)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (to_rectangles,) = ctx.saved_tensors
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])
        return padded.index_select(0, to_rectangles), None, None
