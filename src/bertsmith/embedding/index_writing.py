"""Changes to an index.

Enters: vectors with texts and ids, as they come, and ids to be deleted. Leaves: new files of `index_files`, which count
from `IndexWriter.commit` on.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
from numpy.typing import NDArray

from bertsmith.embedding.index import Index
from bertsmith.embedding.index_files import (
    SCHEMA,
    Manifest,
    holds_index,
    remove_abandoned,
    usearch_index,
    write_manifest,
)
from bertsmith.embedding.vector_file import VectorFile
from bertsmith.errors import DataError
from bertsmith.files import output_error, sync, write_bytes

EXACT = 1_000_000  # texts up to which every one is compared, and no graph is made


class IndexWriter:
    """Changes to an index, or the first texts of a new one; nothing counts before `commit`.

    Use it within `bertsmith.checkpoint.hold_folder`, which keeps other writers out.
    """

    def __init__(self, folder: Path | str, manifest: Manifest, *, replacing: bool = False) -> None:
        self.folder = Path(folder)
        self.earlier = None if replacing or not holds_index(folder) else Index(folder)
        self.manifest = manifest if self.earlier is None else self.earlier.manifest
        self._ids = {} if self.earlier is None else self.earlier.rows_by_id()
        self._deleted: set[int] = set() if self.earlier is None else set(self.earlier.deleted.tolist())
        self.replaced = 0
        self._number = 0  # of the last text without an id

    def add(self, blocks: Iterable[tuple[NDArray[np.float32], Sequence[str | None], Sequence[str]]]) -> int:
        """Add texts, as blocks of vectors (n, E), ids and texts come. A text without an id gets its row's number, or
        the first one behind it that no text has; one with an id that is there already takes the place of the earlier
        text. Returns how many were added.

        Raises `DataError` for an id that comes twice among them.
        """
        name = f"part-{secrets.token_hex(4)}"
        start = self.manifest.num_rows
        row = start
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                VectorFile(self.folder / f"{name}.npy", self.manifest.width) as file,
                pyarrow.OSFile(str(self.folder / f"{name}.arrow"), "wb") as sink,
                pyarrow.ipc.new_file(sink, SCHEMA) as texts_file,
            ):
                for vectors, given, texts in blocks:
                    ids = []
                    for one in given:
                        ids.append(self._free_number(row) if one is None else _encodable(one))
                        self._take_place(ids[-1], row, start)
                        row += 1
                    file.write(vectors)
                    batch = pyarrow.record_batch([ids, [_encodable(text) for text in texts]], schema=SCHEMA)
                    texts_file.write_batch(batch)
            sync(self.folder / f"{name}.arrow")
        except OSError as error:
            raise output_error(self.folder, error.errno) from error
        if row > start:
            self.manifest = replace(self.manifest, parts=[*self.manifest.parts, (name, row - start)])
        return row - start

    def _free_number(self, row: int) -> str:
        self._number = max(self._number, row)
        while str(self._number) in self._ids:
            self._number += 1
        return str(self._number)

    def _take_place(self, one: str, row: int, start: int) -> None:
        earlier = self._ids.get(one)
        if earlier is not None:
            if earlier >= start:
                raise DataError(f"the id {one!r} comes twice, in the texts {earlier - start + 1} and {row - start + 1}")
            self._deleted.add(earlier)
            self.replaced += 1
        self._ids[one] = row

    def delete(self, ids: Iterable[str]) -> int:
        """Delete texts by id. Returns how many. Raises `DataError` for an id that is not there."""
        wanted = list(dict.fromkeys(ids))
        for one in wanted:
            if one not in self._ids:
                raise DataError(f"{self.folder}: no text has the id {one!r}; nothing was deleted")
        self._deleted.update(self._ids.pop(one) for one in wanted)
        return len(wanted)

    def commit(self, *, exact: int = EXACT) -> None:
        """Put the changes in place, with a graph where there are more than ``exact`` texts."""
        deleted = None
        if self._deleted:
            deleted = f"deleted-{secrets.token_hex(4)}.npy"
            _save_array(self.folder / deleted, np.array(sorted(self._deleted), dtype=np.int64))
        self.manifest = replace(self.manifest, deleted=deleted)
        self._grow_graph(exact)
        write_manifest(self.folder, self.manifest)
        remove_abandoned(self.folder)

    def _grow_graph(self, exact: int) -> None:
        """A graph of all rows, where there are many and the one there is leaves out a tenth of them or more."""
        rows = self.manifest.num_rows
        covered = self.manifest.graph[1] if self.manifest.graph else 0
        if rows <= exact or rows - covered < rows / 10:
            return
        graph = usearch_index().Index(ndim=self.manifest.width, metric="ip", dtype="f32")
        start = 0
        for name, number in self.manifest.parts:
            vectors = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            for low in range(0, number, 1 << 16):
                block = np.ascontiguousarray(vectors[low : low + (1 << 16)])
                graph.add(np.arange(start + low, start + low + len(block)), block)
            start += number
        name = f"graph-{secrets.token_hex(4)}.usearch"
        graph.save(str(self.folder / name))
        sync(self.folder / name)
        self.manifest = replace(self.manifest, graph=(name, rows))


def _save_array(path: Path, array: NDArray[np.int64]) -> None:
    held = io.BytesIO()
    np.save(held, array)
    write_bytes(path, held.getvalue())


def _encodable(text: str) -> str:
    """A text that UTF-8 can hold: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
