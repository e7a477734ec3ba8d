"""The manifest of a corpus: what its shards are, what they were made of, and how far it has come.

Enters: a folder. Leaves: a `Manifest` read from its corpus.json, or that file written. Knows nothing of what is in the
shards.

The manifest is written last of all and replaced in one move, so whatever it names is whole. While a corpus is being
made it is there already, marked unfinished, with the place where the next shard begins.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bertsmith.errors import DataError
from bertsmith.files import dump_json, read_json, write_json

MANIFEST = "corpus.json"
VERSION = 1
PREPARE_AGAIN = "make the corpus again with bertsmith prepare"


@dataclass(frozen=True)
class ShardInfo:
    """What the manifest says of a shard.

    name:     of its file in the folder
    checksum: CRC-32 of the file's bytes, in hexadecimal
    size:     of the file, in bytes
    """

    name: str
    documents: int
    sentences: int
    tokens: int
    checksum: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What corpus.json holds.

    fingerprint: of the tokenizer that made the ids
    options:     what the corpus was made with: a corpus can only be continued with the same
    sources:     a digest of the names of the sources
    text_bytes:  UTF-8 bytes of the text of all documents, those held out included
    dropped:     what was left out on the way, by plain words
    held_out:    documents set apart for evaluation
    next:        where the next shard begins, as `bertsmith.corpus.building` notes it; ``None`` once the corpus is whole
    """

    fingerprint: str
    vocab_size: int
    options: dict[str, Any]
    sources: str = ""
    text_bytes: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    shards: tuple[ShardInfo, ...] = ()
    held_out: ShardInfo | None = None
    next: Mapping[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether the corpus is whole."""
        return self.next is None

    @property
    def parts(self) -> tuple[ShardInfo, ...]:
        """All files of rows: the shards, and what is held out."""
        return self.shards if self.held_out is None else (*self.shards, self.held_out)

    def total(self, what: str) -> int:
        """The sum of "documents", "sentences" or "tokens" over all parts."""
        return sum(getattr(one, what) for one in self.parts)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder. Raises `DataError` where there is none, or it is damaged or of a later version."""
    path = folder / MANIFEST
    if not path.is_file():
        reason = "holds no corpus" if folder.is_dir() else "there is no such folder"
        raise DataError(f"{folder}: {reason}; make one with bertsmith prepare --out {folder}")
    values = read_json(path, DataError, way_out=PREPARE_AGAIN)
    version = values.pop("version", None)
    if isinstance(version, int) and version > VERSION:
        raise DataError(f"{path}: a corpus of version {version}; this bertsmith reads up to {VERSION}; install a newer")
    if values.pop("checksum", None) != _checksum(values):
        raise DataError(f"{path}: damaged, or edited by hand (its checksum is another); {PREPARE_AGAIN}")
    for total in ("documents", "sentences", "tokens"):
        del values[total]
    values["shards"] = tuple(ShardInfo(**one) for one in values["shards"])
    values["held_out"] = values["held_out"] and ShardInfo(**values["held_out"])
    return Manifest(**values)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write or replace the manifest of a folder. Raises `OutputError` when the place is full or not writable."""
    values = {name: manifest.total(name) for name in ("documents", "sentences", "tokens")}
    values |= {one.name: getattr(manifest, one.name) for one in fields(manifest)}
    write_json(folder / MANIFEST, {"version": VERSION, **values, "checksum": _checksum(values)})


def _checksum(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(dump_json(values).encode()):08x}"
