"""An index, as it is searched.

Enters: a folder of `index_files`. Leaves: the nearest texts to a query. Every text is compared; where there is a graph
(usearch; Malkov and Yashunin 2016, "HNSW"), it is followed, and only the texts behind it are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray

from bertsmith.embedding.index_files import damaged, read_manifest, usearch_index
from bertsmith.embedding.neighbours import Best, Neighbours, nearest
from bertsmith.errors import DataError

_WIDER = 4  # times as many rows are asked of the graph as are wanted: it finds nearly all of the nearest, not all


@dataclass(frozen=True)
class Entry:
    """A text of an index."""

    id: str
    text: str


@dataclass(frozen=True)
class Hit:
    """A text that was found, and its cosine with the query (after reranking, the score that decided)."""

    id: str
    text: str
    score: float


class Index:
    """An index as it is on the disk at the moment of opening, and stays whatever becomes of the files then.

    Raises `DataError` for a folder that holds none, or one that is damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        while True:
            self.manifest = read_manifest(self.folder)
            try:
                self._map_files()
                return
            except DataError:
                if read_manifest(self.folder) == self.manifest:
                    raise  # else a writer has put others in their place meanwhile

    def _map_files(self) -> None:
        manifest = self.manifest
        self.deleted: NDArray[np.int64] = (  # sorted numbers of the deleted rows
            np.empty(0, np.int64) if manifest.deleted is None else self._load(manifest.deleted)
        )
        self._vectors = [self._vectors_of_part(name, rows) for name, rows in manifest.parts]
        self._texts = [self._texts_of_part(name, rows) for name, rows in manifest.parts]
        self._graph = None if manifest.graph is None else self._load_graph(manifest.graph[0])

    def __len__(self) -> int:
        """Texts that can be found."""
        return self.manifest.num_rows - len(self.deleted)

    @cached_property
    def _alive(self) -> NDArray[np.bool_]:
        alive = np.ones(self.manifest.num_rows, dtype=bool)
        alive[self.deleted] = False
        return alive

    def _vectors_of_part(self, name: str, rows: int) -> NDArray[np.float32]:
        vectors = self._load(f"{name}.npy")
        if vectors.shape != (rows, self.manifest.width):
            raise damaged(self.folder / f"{name}.npy", f"{list(vectors.shape)} where {rows} vectors are expected")
        return vectors

    def _texts_of_part(self, name: str, rows: int) -> pyarrow.Table:
        path = self.folder / f"{name}.arrow"
        try:
            table = pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise damaged(path, str(error)) from None
        if len(table) != rows:
            raise damaged(path, f"{len(table)} texts where {rows} are expected")
        return table

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The number of the first row of each part, and of the row behind the last."""
        return np.concatenate([[0], np.cumsum([rows for _, rows in self.manifest.parts], dtype=np.int64)])

    def entry(self, row: int) -> Entry:
        """Id and text of a row."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = row - int(self._starts[part])
        table = self._texts[part]
        return Entry(table["id"][place].as_py(), table["text"][place].as_py())

    def rows_by_id(self) -> dict[str, int]:
        """The row of each id that can be found."""
        ids = [one for table in self._texts for one in table["id"].to_pylist()]
        return {one: row for row, one in enumerate(ids) if self._alive[row]}

    def search(self, queries: NDArray[np.float32], number: int) -> list[list[Hit]]:
        """For each query the ``number`` nearest texts, best first; all of them where the index has fewer.

        Shape: queries (Q, E), of length 1.
        """
        found = self.neighbours(queries, min(number, len(self)))
        return [
            [
                Hit(entry.id, entry.text, score)
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
                for entry in [self.entry(row)]
            ]
            for rows, scores in zip(found.rows.tolist(), found.cosines.tolist(), strict=True)
        ]

    def neighbours(self, queries: NDArray[np.float32], number: int) -> Neighbours:
        """Rows and cosines of the nearest texts that can be found."""
        best = Best(len(queries), number)
        first = 0
        if self.manifest.graph is not None:
            first = self.manifest.graph[1]
            found = self._by_graph(queries, number)
            best.merge(slice(None), torch.from_numpy(found.rows), torch.from_numpy(found.cosines))
        for start, vectors in zip(self._starts[:-1].tolist(), self._vectors, strict=True):
            skipped = min(max(0, first - start), len(vectors))
            rest = vectors[skipped:]
            low = start + skipped
            if not len(rest):
                continue
            found = nearest(queries, rest, number, alive=self._alive[low : low + len(rest)])
            rows = np.where(found.rows >= 0, found.rows + low, -1)
            best.merge(slice(None), torch.from_numpy(rows), torch.from_numpy(found.cosines))
        return best.found()

    def _load_graph(self, name: str) -> Any:
        path = self.folder / name
        try:
            return usearch_index().Index.restore(str(path), view=True)
        except RuntimeError as error:
            raise damaged(path, str(error)) from None

    def _by_graph(self, queries: NDArray[np.float32], number: int) -> Neighbours:
        """The nearest rows of the graph that can be found, with their exact cosines."""
        assert self.manifest.graph is not None
        assert self._graph is not None
        covered = self.manifest.graph[1]
        dead = max(1.0, covered / max(1, int(self._alive[:covered].sum())))  # rows for each that can be found
        matches = self._graph.search(queries, min(covered, int(number * _WIDER * dead)))
        keys = np.atleast_2d(matches.keys).astype(np.int64)  # (Q, wider)
        rows = np.full((len(queries), number), -1, dtype=np.int64)
        cosines = np.full((len(queries), number), -np.inf, dtype=np.float32)
        for query, found in enumerate(keys):
            found = found[self._alive[found]]
            exact = self._vectors_of(found) @ queries[query]
            order = np.argsort(-exact, kind="stable")[:number]
            rows[query, : len(order)], cosines[query, : len(order)] = found[order], exact[order]
        return Neighbours(rows, cosines)

    def _vectors_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        gathered = [self._vectors[part][row - self._starts[part]] for part, row in zip(parts, rows, strict=True)]
        return np.stack(gathered) if gathered else np.empty((0, self.manifest.width), np.float32)

    def _load(self, name: str) -> NDArray[Any]:
        try:
            loaded: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise damaged(self.folder / name, str(error)) from None
        return loaded
