"""Vectors in a ``.npy`` file, written as they come.

Enters: blocks of rows, as many as there are. Leaves: a file that ``numpy.load`` opens, whole or not there at all.
"""

from __future__ import annotations

import io
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bertsmith.files import output_error, sync

_HEADER = 128  # bytes: numpy pads its own to a multiple of 64, and shapes of any size fit


class VectorFile:
    """A file of rows under construction; a context manager that puts it in place when it ends well.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with VectorFile(Path(folder) / "v.npy", width=2) as file:
    ...         file.write(np.zeros((3, 2), np.float32))
    ...         file.write(np.ones((1, 2), np.float32))
    ...     np.load(Path(folder) / "v.npy").shape
    (4, 2)

    Raises `OutputError` when the place is full or closed to us.
    """

    def __init__(self, path: Path | str, width: int) -> None:
        self.path = Path(path)
        self.width = width
        self.rows = 0
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("xb")
            self._file.write(bytes(_HEADER))
        except OSError as error:
            raise output_error(self.path, error.errno) from error
        return self

    def write(self, vectors: NDArray[np.float32]) -> None:
        """Append rows, (n, width) float32."""
        try:
            self._file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        except OSError as error:
            raise output_error(self.path, error.errno) from error
        self.rows += len(vectors)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._file.write(_header(self.rows, self.width))
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._temporary, self.path)
                sync(self.path.parent)
        except OSError as failed:
            raise output_error(self.path, failed.errno) from failed
        finally:
            self._file.close()
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def _header(rows: int, width: int) -> bytes:
    """The first bytes of a ``.npy`` file, always as many."""
    written = io.BytesIO()
    npy.write_array_header_1_0(written, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})
    header = written.getvalue()
    body = header[10:].rstrip(b" \n")
    return header[:8] + (_HEADER - 10).to_bytes(2, "little") + body.ljust(_HEADER - 11) + b"\n"
