"""The folder of an index: what it holds, and what says so.

    index.json       what belongs to the index; everything else is found through it
    part-….npy       vectors of texts that were added together, (n, E) float32 of length 1
    part-….arrow     their ids and texts
    deleted-….npy    numbers of the rows that count no more, counted over all parts
    graph-….usearch  of the rows up to a number; later ones are compared one by one

Files are never changed. A change writes new ones and then puts a new ``index.json`` in place by one rename, so that a
writer that is killed at any moment leaves the earlier index; what it had written is removed by the next one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow

from bertsmith.errors import DataError, SettingsError
from bertsmith.files import read_json, write_json

MANIFEST = "index.json"
VERSION = 1
SCHEMA = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string())])  # of a part's texts
_PATTERNS = ("part-*.npy", "part-*.arrow", "deleted-*.npy", "graph-*.usearch", ".*.part")


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

    @property
    def num_rows(self) -> int:
        """Texts, deleted ones among them."""
        return sum(rows for _, rows in self.parts)

    @property
    def files(self) -> set[str]:
        """Names of all files that belong to the index."""
        named = {f"{name}{end}" for name, _ in self.parts for end in (".npy", ".arrow")}
        return named | {name for name in (self.deleted, (self.graph or (None,))[0]) if name is not None}


def holds_index(folder: Path | str) -> bool:
    """Whether a folder holds an index."""
    return (Path(folder) / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """What belongs to the index of a folder. Raises `DataError` for one that holds none, or of another version."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder}: holds no index; make one with: bertsmith index --input FILE --out {folder}")
    values = read_json(path, DataError, way_out="make the index again")
    if values.pop("version", None) != VERSION:
        raise DataError(f"{path}: of another version of bertsmith; make the index again")
    try:
        manifest = Manifest(**values)
        if not isinstance(manifest.model["name"], str):
            raise TypeError("no name of a model")
        deleted = None if manifest.deleted is None else str(manifest.deleted)
        graph = None if manifest.graph is None else (str(manifest.graph[0]), int(manifest.graph[1]))
        parts = [(str(name), int(rows)) for name, rows in manifest.parts]
        return replace(manifest, parts=parts, deleted=deleted, graph=graph)
    except (TypeError, ValueError, LookupError) as error:
        raise damaged(path, str(error)) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in place, which is the moment from which on its files count."""
    write_json(folder / MANIFEST, {"version": VERSION, **asdict(manifest)})


def remove_abandoned(folder: Path) -> None:
    """Remove files that the index on the disk does not name: of earlier ones, and of writers that were killed."""
    kept = read_manifest(folder).files if holds_index(folder) else set()
    for pattern in _PATTERNS:
        for path in folder.glob(pattern):
            if path.name not in kept:
                with suppress(OSError):
                    path.unlink()


def usearch_index() -> Any:
    """The module of the graph. Raises `SettingsError` where it is not installed."""
    try:
        import usearch.index
    except ImportError:
        raise SettingsError("the graph of a large index needs usearch; pip install 'bertsmith[search]'") from None
    return usearch.index


def damaged(path: Path, reason: str) -> DataError:
    """The error for a file of an index that cannot be read."""
    told = reason.partition("\n")[0]
    return DataError(f"{path}: is missing or damaged ({told}); make the index again")
