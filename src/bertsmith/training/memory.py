"""Memory that a step uses, kept for the next.

glibc hands every freed block over 32 MB (and the top of its heap) back to the kernel, which zeroes it page by page when
it is asked for again: cloning 48 MB takes 37 ms so, and 2.3 ms without (`docs/lab-notes.md`). A training step frees and
asks for the same hundred megabytes each time. Told to keep its memory, the C library reuses it as it is.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # names of mallopt(3)


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory for the next step. True where that is possible (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)


_SCRATCH: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}


def scratch(name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of this name and shape that each step uses anew; what is in it is undefined.

    For the few tensors of tens of megabytes: freed, they would come back in pieces. The C library aligns what it gives,
    and small blocks settle in the margins it cuts off, so that the next large one does not fit its predecessor's place
    (a run grew by 50 MB a step, with thousands of page faults in each: `docs/lab-notes.md`).
    """
    size = math.prod(shape)
    key = name, dtype, device
    held = _SCRATCH.get(key)
    if held is None or len(held) < size:
        with torch.inference_mode(False):  # made while evaluating, it must do for training as well
            held = _SCRATCH[key] = torch.empty(size, dtype=dtype, device=device)
    return held[:size].view(*shape)


def forget_scratch() -> None:
    """Give the memory of `scratch` back, when training has ended."""
    _SCRATCH.clear()
