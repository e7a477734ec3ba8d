"""An index: vectors in a folder with their texts and ids, to be searched, added to and deleted from.

Enters: vectors with texts and ids, and the fingerprint of the model they are from. Leaves: a folder, and the nearest
texts to a query. Search compares every text up to `EXACT` of them; beyond, it follows a graph on the disk (usearch;
Malkov and Yashunin 2016, "HNSW").

    index.json       what belongs to the index; everything else is found through it
    part-….npy       vectors of texts that were added together, (n, E) float32 of length 1
    part-….arrow     their ids and texts
    deleted-….npy    numbers of the rows that count no more, counted over all parts
    graph-….usearch  of the rows up to a number; later ones are compared one by one

Files are never changed. A change writes new ones and then puts a new ``index.json`` in place by one rename, so that a
writer that is killed at any moment leaves the earlier index; what it had written is removed by the next one.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray

from bertsmith.embedding.neighbours import Best, Neighbours, nearest
from bertsmith.embedding.vector_file import VectorFile
from bertsmith.errors import DataError
from bertsmith.files import output_error, read_json, write_bytes, write_json

MANIFEST = "index.json"
VERSION = 1
EXACT = 1_000_000  # texts up to which every one is compared
_WIDER = 4  # times as many rows are asked of the graph as are wanted: it finds nearly all of the nearest, not all
_SCHEMA = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string())])
_OURS = ("part-*.npy", "part-*.arrow", "deleted-*.npy", "graph-*.usearch", ".*.part")


@dataclass(frozen=True)
class Manifest:
    """What ``index.json`` says.

    model:       the name that the vectors' model was opened by, and what else opening it took
    fingerprint: of that model
    width:       numbers of a vector, E
    parts:       name and number of rows of each
    deleted:     file of the deleted rows, or ``None``
    graph:       file and number of rows of the graph, or ``None``
    """

    model: dict[str, Any]
    fingerprint: str
    width: int
    parts: list[tuple[str, int]] = field(default_factory=list)
    deleted: str | None = None
    graph: tuple[str, int] | None = None


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
    """An index as it is on the disk at the moment of opening.

    Raises `DataError` for a folder that holds none, or one that is damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)

    @staticmethod
    def exists(folder: Path | str) -> bool:
        """Whether a folder holds an index."""
        return (Path(folder) / MANIFEST).is_file()

    def __len__(self) -> int:
        """Texts that can be found."""
        return self.num_rows - len(self._deleted)

    @property
    def num_rows(self) -> int:
        """Texts, deleted ones among them."""
        return sum(rows for _, rows in self.manifest.parts)

    @cached_property
    def _deleted(self) -> NDArray[np.int64]:
        """Sorted numbers of the deleted rows."""
        if self.manifest.deleted is None:
            return np.empty(0, np.int64)
        deleted: NDArray[np.int64] = self._load(self.manifest.deleted)
        return deleted

    @cached_property
    def _alive(self) -> NDArray[np.bool_]:
        alive = np.ones(self.num_rows, dtype=bool)
        alive[self._deleted] = False
        return alive

    @cached_property
    def _vectors(self) -> list[NDArray[np.float32]]:
        """The vectors of each part, mapped from its file."""
        vectors = [self._load(f"{name}.npy") for name, _ in self.manifest.parts]
        for (name, rows), part in zip(self.manifest.parts, vectors, strict=True):
            if part.shape != (rows, self.manifest.width):
                raise _damaged(self.folder / f"{name}.npy", f"{list(part.shape)} where {rows} vectors are expected")
        return vectors

    @cached_property
    def _texts(self) -> list[pyarrow.Table]:
        """Ids and texts of each part, mapped from its file."""
        tables = []
        for name, rows in self.manifest.parts:
            path = self.folder / f"{name}.arrow"
            try:
                table = pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
            except (OSError, pyarrow.ArrowInvalid) as error:
                raise _damaged(path, str(error)) from None
            if len(table) != rows:
                raise _damaged(path, f"{len(table)} texts where {rows} are expected")
            tables.append(table)
        return tables

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

    @cached_property
    def _graph(self) -> Any:
        assert self.manifest.graph is not None
        path = self.folder / self.manifest.graph[0]
        try:
            return _usearch().Index.restore(str(path), view=True)
        except RuntimeError as error:
            raise _damaged(path, str(error)) from None

    def _by_graph(self, queries: NDArray[np.float32], number: int) -> Neighbours:
        """The nearest rows of the graph that can be found, with their exact cosines."""
        assert self.manifest.graph is not None
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
        except (OSError, ValueError) as error:
            raise _damaged(self.folder / name, str(error)) from None
        return loaded


class IndexWriter:
    """Changes to an index, or the first texts of a new one; nothing counts before `commit`.

    Use it within `bertsmith.checkpoint.hold_folder`, which keeps other writers out.
    """

    def __init__(self, folder: Path | str, manifest: Manifest, *, replacing: bool = False) -> None:
        self.folder = Path(folder)
        self.earlier = None if replacing or not Index.exists(folder) else Index(folder)
        self.manifest = manifest if self.earlier is None else self.earlier.manifest
        self._ids = {} if self.earlier is None else self.earlier.rows_by_id()
        self._deleted: set[int] = set() if self.earlier is None else set(self.earlier._deleted.tolist())
        self.replaced = 0

    def add(self, blocks: Iterable[tuple[NDArray[np.float32], Sequence[str | None], Sequence[str]]]) -> int:
        """Add texts, as blocks of vectors (n, E), ids and texts come. A text without an id gets its row's number; one
        with an id that is there already takes the place of the earlier text. Returns how many were added.

        Raises `DataError` for an id that comes twice among them.
        """
        name = f"part-{secrets.token_hex(4)}"
        start = sum(rows for _, rows in self.manifest.parts)
        row = start
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                VectorFile(self.folder / f"{name}.npy", self.manifest.width) as file,
                pyarrow.OSFile(str(self.folder / f"{name}.arrow"), "wb") as sink,
                pyarrow.ipc.new_file(sink, _SCHEMA) as texts_file,
            ):
                for vectors, given, texts in blocks:
                    ids = [str(row + place) if one is None else one for place, one in enumerate(given)]
                    for one in ids:
                        self._take_place(one, row, start)
                        row += 1
                    file.write(vectors)
                    texts_file.write_batch(pyarrow.record_batch([ids, _encodable(texts)], schema=_SCHEMA))
        except OSError as error:
            raise output_error(self.folder, error.errno) from error
        if row > start:
            self.manifest = replace(self.manifest, parts=[*self.manifest.parts, (name, row - start)])
        return row - start

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
        write_json(self.folder / MANIFEST, {"version": VERSION, **asdict(self.manifest)})
        self.remove_abandoned()

    def remove_abandoned(self) -> None:
        """Remove files that the index on the disk does not name: of earlier ones, and of writers that were killed."""
        kept: set[str] = set()
        if Index.exists(self.folder):
            named = _read_manifest(self.folder)
            kept = {f"{name}{end}" for name, _ in named.parts for end in (".npy", ".arrow")}
            kept |= {named.deleted or "", (named.graph or ("",))[0]}
        for pattern in _OURS:
            for path in self.folder.glob(pattern):
                if path.name not in kept:
                    with suppress(OSError):
                        path.unlink()

    def _grow_graph(self, exact: int) -> None:
        """A graph of all rows, where there are many and the one there is leaves out a tenth of them or more."""
        rows = sum(rows for _, rows in self.manifest.parts)
        covered = self.manifest.graph[1] if self.manifest.graph else 0
        if rows <= exact or rows - covered < rows / 10:
            return
        graph = _usearch().Index(ndim=self.manifest.width, metric="ip", dtype="f32")
        start = 0
        for name, number in self.manifest.parts:
            vectors = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            for low in range(0, number, 1 << 16):
                block = np.ascontiguousarray(vectors[low : low + (1 << 16)])
                graph.add(np.arange(start + low, start + low + len(block)), block)
            start += number
        name = f"graph-{secrets.token_hex(4)}.usearch"
        graph.save(str(self.folder / name))
        self.manifest = replace(self.manifest, graph=(name, rows))


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder}: holds no index; make one with: bertsmith index --input FILE --out {folder}")
    values = read_json(path, DataError, way_out="make the index again")
    if values.pop("version", None) != VERSION:
        raise DataError(f"{path}: of another version of bertsmith; make the index again")
    try:
        manifest = Manifest(**values)
        graph = None if manifest.graph is None else (str(manifest.graph[0]), int(manifest.graph[1]))
        return replace(manifest, parts=[(str(name), int(rows)) for name, rows in manifest.parts], graph=graph)
    except (TypeError, ValueError, IndexError) as error:
        raise _damaged(path, str(error)) from None


def _save_array(path: Path, array: NDArray[np.int64]) -> None:
    held = io.BytesIO()
    np.save(held, array)
    write_bytes(path, held.getvalue())


def _encodable(texts: Sequence[str]) -> list[str]:
    """Texts that UTF-8 can hold: a lone surrogate becomes a question mark."""
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise DataError(
            f"an index of more than {EXACT:,} texts needs usearch; pip install 'bertsmith[search]'"
        ) from None
    return usearch.index


def _damaged(path: Path, reason: str) -> DataError:
    told = reason.partition("\n")[0]
    return DataError(f"{path}: is missing or damaged ({told}); make the index again")
