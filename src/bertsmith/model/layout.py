"""How the tokens of a batch lie in memory: packed end to end, or padded to a rectangle.

Enters: lengths, or a mask. Leaves: what only this decides: each token's position, the first token of each sequence, and
how attention sees tokens grouped by sequence. All other computing is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]

# Splitting a batch into one more group costs about as much time as this many attention scores a head (measured on
# 2 cores); finer groups would save less padding than they cost.
_GROUP_COST = 40_000


@dataclass(frozen=True)
class Group:
    """Sequences of a batch that attention computes together, padded to the longest of them.

    rows: (b,) int64 on the CPU, the number in the batch of each sequence
    bias: (b, 1, 1, T) float32, 0 at tokens and -inf at padding, or None where nothing is padded
    """

    rows: Tensor
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

    def counts(self) -> Tensor:
        """Tokens of each sequence, (B, 1) float32."""

    def sums(self, x: Tensor) -> Tensor:
        """The sum of each sequence's tokens, fillers and padding left out: (N, W) or (B, T, W) -> (B, W) float32."""

    def maxima(self, x: Tensor) -> Tensor:
        """The greatest of each number over a sequence's tokens: (N, W) or (B, T, W) -> (B, W) float32."""

    def fill(self, ids: Tensor) -> Tensor:
        """Ids, (N,) or (B, T), with filler tokens at the end if this layout wants some; they meet no other token."""

    def trim(self, x: Tensor) -> Tensor:
        """Tokens without the fillers: the inverse of `fill`."""


class PackedLayout:
    """Sequences end to end: N tokens, B sequences, no padding in anything but attention.

    Sequences are grouped by similar length there, so that little of a rectangle is padding.

    On the CPU a kernel is made for every new shape, which takes about a millisecond, so shapes are rounded: fillers
    bring the number of tokens to one of few (`rounded_size`), and rectangles are a multiple of 8 wide.

    lengths: (B,) tokens of each sequence
    """

    def __init__(self, lengths: Tensor, device: torch.device | str = "cpu") -> None:
        self.lengths: Integers = lengths.to("cpu", torch.int64).numpy()
        self.device = torch.device(device)
        self.starts: Integers = np.zeros(len(self.lengths) + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=self.starts[1:])
        self.num_tokens = int(self.starts[-1])
        self.num_fillers = rounded_size(self.num_tokens) - self.num_tokens

    def fill(self, ids: Tensor) -> Tensor:
        # The first token once more: an id that is known to be there.
        return torch.cat([ids, ids[:1].expand(self.num_fillers)]) if self.num_fillers else ids

    def trim(self, x: Tensor) -> Tensor:
        return x[: self.num_tokens] if self.num_fillers else x

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def positions(self) -> Tensor:
        places = np.arange(self.num_tokens, dtype=np.int64) - np.repeat(self.starts[:-1], self.lengths)
        return self.fill(self._tensor(places))

    @cached_property
    def _first(self) -> Tensor:
        return self._tensor(self.starts[:-1])

    def first(self, x: Tensor) -> Tensor:
        return x.index_select(0, self._first)

    @cached_property
    def _lengths(self) -> Tensor:
        return self._tensor(self.lengths)

    def counts(self) -> Tensor:
        return self._lengths[:, None].to(torch.float32)

    def sums(self, x: Tensor) -> Tensor:
        return torch.segment_reduce(x.float(), "sum", lengths=self._lengths, axis=0, unsafe=True)

    def maxima(self, x: Tensor) -> Tensor:
        return torch.segment_reduce(x.float(), "max", lengths=self._lengths, axis=0, unsafe=True)

    @cached_property
    def _is_rectangle(self) -> bool:
        """All sequences have one length: packed and padded are the same memory."""
        return bool((self.lengths == self.lengths[0]).all())

    @cached_property
    def _rows(self) -> list[Integers]:
        """The sequences of each group, (b,)."""
        if self._is_rectangle:
            return [np.arange(len(self.lengths))]
        order = np.argsort(self.lengths, kind="stable")
        return [order[low:high] for low, high in group_by_length(self.lengths[order])]

    @cached_property
    def _rectangles(self) -> list[Integers]:
        """For each group the places of its tokens, (b, t), with -1 at padding."""
        rectangles = []
        for rows in self._rows:
            span = np.arange(-(-self.lengths[rows[-1]] // 8) * 8)
            places = self.starts[rows][:, None] + span
            rectangles.append(np.where(span < self.lengths[rows][:, None], places, -1))
        return rectangles

    @cached_property
    def groups(self) -> list[Group]:
        if self._is_rectangle:
            return [Group(torch.from_numpy(self._rows[0]), None)]
        groups = []
        for rows, places in zip(self._rows, self._rectangles, strict=True):
            padding = places < 0
            bias = np.where(padding, np.float32(-np.inf), np.float32(0))[:, None, None, :]
            groups.append(Group(torch.from_numpy(rows), self._tensor(bias) if padding.any() else None))
        return groups

    @cached_property
    def _to_rectangles(self) -> Tensor:
        """(M,) for each place of all rectangles end to end, the token that stands there; token 0 at padding."""
        return self._tensor(self._flat_places.clip(min=0))

    @cached_property
    def _real(self) -> Tensor:
        """(M, 1) 1 where a token stands, 0 at padding."""
        return self._tensor((self._flat_places >= 0)[:, None].astype(np.float32))

    @cached_property
    def _to_tokens(self) -> Tensor:
        """For each token and filler, its place in all rectangles end to end; place 0 for fillers."""
        inverse = np.zeros(self.num_tokens + self.num_fillers, dtype=np.int64)
        real = np.flatnonzero(self._flat_places >= 0)
        inverse[self._flat_places[real]] = real
        return self._tensor(inverse)

    @cached_property
    def _flat_places(self) -> Integers:
        return np.concatenate([places.reshape(-1) for places in self._rectangles])

    def split(self, x: Tensor) -> list[Tensor]:
        if self._is_rectangle:
            return [self.trim(x).view(len(self.lengths), -1, x.shape[-1])]
        shapes = [places.shape for places in self._rectangles]
        flat: Tensor = _ToRectangles.apply(x, self)  # type: ignore[no-untyped-call]
        parts = torch.split(flat, [rows * span for rows, span in shapes])
        return [part.view(*shape, x.shape[-1]) for part, shape in zip(parts, shapes, strict=True)]

    def join(self, parts: list[Tensor]) -> Tensor:
        flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
        if self._is_rectangle:
            return F.pad(flat, (0, 0, 0, self.num_fillers)) if self.num_fillers else flat
        tokens: Tensor = _ToTokens.apply(flat, self)  # type: ignore[no-untyped-call]
        return tokens


class PaddedLayout:
    """Sequences padded to a rectangle, for callers who bring padded tensors, and for export.

    mask: (B, T) true at tokens, false at padding
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask.bool()

    def fill(self, ids: Tensor) -> Tensor:
        return ids

    def trim(self, x: Tensor) -> Tensor:
        return x

    @property
    def positions(self) -> Tensor:
        return torch.arange(self.mask.shape[1], device=self.mask.device).expand(*self.mask.shape)

    @property
    def groups(self) -> list[Group]:
        # The lowest finite number, not -inf: a row of padding alone must not become NaN.
        lowest = torch.finfo(torch.float32).min
        bias = torch.zeros(self.mask.shape, device=self.mask.device).masked_fill(~self.mask, lowest)
        return [Group(torch.arange(self.mask.shape[0]), bias[:, None, None, :])]

    def split(self, x: Tensor) -> list[Tensor]:
        return [x]

    def join(self, parts: list[Tensor]) -> Tensor:
        return parts[0]

    def first(self, x: Tensor) -> Tensor:
        return x[:, 0]

    def counts(self) -> Tensor:
        return self.mask.sum(1, keepdim=True).float()

    def sums(self, x: Tensor) -> Tensor:
        return (x.float() * self.mask[:, :, None]).sum(1)

    def maxima(self, x: Tensor) -> Tensor:
        return x.float().masked_fill(~self.mask[:, :, None], torch.finfo(torch.float32).min).amax(1)


def group_by_length(lengths: Integers) -> list[tuple[int, int]]:
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


def rounded_size(num_tokens: int) -> int:
    """The number of tokens with fillers: a multiple of 16, of 32 from 512 on, of 64 from 1,024 on, and so forth.

    So every doubling has 16 sizes, and on average 2 % of a batch are fillers.

    >>> [rounded_size(n) for n in (5, 362, 600, 1030, 5000)]
    [16, 368, 608, 1088, 5120]
    """
    step = int(max(16, 2 ** (num_tokens.bit_length() - 5)))
    return -(-num_tokens // step) * step


class _ToRectangles(torch.autograd.Function):
    """Tokens and fillers (N, W) to rectangles end to end (M, W).

    What stands at padding does not matter: attention gives it no weight, and `_ToTokens` drops what comes of it.
    """

    @staticmethod
    def forward(ctx, x, layout):  # type: ignore[no-untyped-def]
        ctx.layout = layout
        return x.index_select(0, layout._to_rectangles)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        tokens = gradient.index_select(0, ctx.layout._to_tokens)
        tokens[ctx.layout.num_tokens :] = 0
        return tokens, None


class _ToTokens(torch.autograd.Function):
    """The inverse: rectangles (M, W) to tokens and fillers (N, W). Padding gets no gradient."""

    @staticmethod
    def forward(ctx, x, layout):  # type: ignore[no-untyped-def]
        ctx.layout = layout
        return x.index_select(0, layout._to_tokens)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        layout = ctx.layout
        return gradient.index_select(0, layout._to_rectangles).mul_(layout._real.to(gradient.dtype)), None
