"""Keep freed memory in the process.

glibc hands every freed block over 32 MB (and the top of its heap) back to the kernel, which zeroes it page by page when
it is asked for again: cloning 48 MB takes 37 ms so, and 2.3 ms without (`docs/lab-notes.md`). A training step frees and
asks for the same hundred megabytes each time. Told to keep its memory, the C library reuses it as it is.
"""

from __future__ import annotations

import ctypes
import sys

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
