"""Shards of a corpus: rows of tokens in Arrow files, and the folder that holds them.

Enters: token ids with the bounds of sentences and documents. Leaves: Arrow IPC files of one row a document, and the
same arrays again, memory-mapped. Knows nothing of text, and of tokens only how many there are.

A folder of a corpus:

    corpus.json                the manifest, see `bertsmith.corpus.manifest`
    tokenizer.json, vocab.txt  and the other files of the tokenizer, so that training needs nothing else
    shard-00000.arrow ...      columns ids (large_list<uint16>, or int32 for over 65,536 tokens) and sentence_lengths
                               (list<int32>), in one record batch, so that all ids lie end to end
    held-out.arrow             the same for the documents set apart for evaluation

A shard is checked against its checksum when it is first opened: what a failing disk has changed is never trained on.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertsmith.corpus.manifest import PREPARE_AGAIN, Manifest, ShardInfo, read_manifest
from bertsmith.errors import DataError, TokenizerError
from bertsmith.files import write_bytes
from bertsmith.text import Tokenizer
from bertsmith.text.ragged import bounds_of, gather_places

HELD_OUT = "held-out.arrow"
_FORMAT = "bertsmith corpus 1"
_WIDEST = 2**16  # tokens in a vocabulary whose ids fit 16 bits


@dataclass(frozen=True, eq=False)
class Shard:
    """D documents of S sentences of N tokens in all, without special tokens.

    ids:       (N,)   uint16 or int32, all tokens end to end
    sentences: (S+1,) int64, sentence ``i`` is ``ids[sentences[i]:sentences[i + 1]]``
    documents: (D+1,) int64, document ``i`` is the sentences ``documents[i]:documents[i + 1]``
    """

    ids: NDArray[np.uint16] | NDArray[np.int32]
    sentences: NDArray[np.int64]
    documents: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.documents) - 1

    @property
    def token_bounds(self) -> NDArray[np.int64]:
        """(D+1,): document ``i`` is ``ids[token_bounds[i]:token_bounds[i + 1]]``."""
        return self.sentences[self.documents]

    def take(self, rows: NDArray[np.int64]) -> Shard:
        """The named documents, in the order named."""
        tokens, _ = gather_places(self.token_bounds, rows)
        sentences, documents = gather_places(self.documents, rows)
        return Shard(self.ids[tokens], bounds_of(np.diff(self.sentences)[sentences]), documents)

    @staticmethod
    def concatenate(parts: Sequence[Shard]) -> Shard:
        """One shard of the documents of all ``parts``, of which there is at least one."""
        return Shard(
            np.concatenate([part.ids for part in parts]),
            bounds_of(np.concatenate([np.diff(part.sentences) for part in parts])),
            bounds_of(np.concatenate([np.diff(part.documents) for part in parts])),
        )


def id_type(vocab_size: int) -> type[np.uint16] | type[np.int32]:
    """The type that the ids of a vocabulary are kept in."""
    return np.uint16 if vocab_size <= _WIDEST else np.int32


def write_shard(path: Path, shard: Shard, fingerprint: str) -> ShardInfo:
    """Write a shard as an Arrow file; it is whole or not there. ``fingerprint`` is the tokenizer's.

    Raises `OutputError` when the place is full or not writable.
    """
    ids = pa.LargeListArray.from_arrays(shard.token_bounds, pa.array(shard.ids))
    lengths = pa.array(np.diff(shard.sentences).astype(np.int32))
    columns = {"ids": ids, "sentence_lengths": pa.ListArray.from_arrays(shard.documents.astype(np.int32), lengths)}
    facts = {"format": _FORMAT, "fingerprint": fingerprint}
    schema = pa.schema([(name, column.type) for name, column in columns.items()], metadata=facts)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))
    content = sink.getvalue()
    write_bytes(path, memoryview(content))
    return ShardInfo(
        name=path.name,
        documents=len(shard),
        sentences=len(shard.sentences) - 1,
        tokens=len(shard.ids),
        checksum=f"{zlib.crc32(content):08x}",
        size=content.size,
    )


def read_shard(folder: Path, info: ShardInfo, fingerprint: str, *, verify: bool = True) -> Shard:
    """A shard of a folder, its ids memory-mapped and read-only.

    verify: compute the checksum, which reads the whole file

    Raises `DataError` for a file that is not the one the manifest speaks of.
    """
    path = folder / info.name
    try:
        content = pa.memory_map(str(path)).read_buffer()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); {PREPARE_AGAIN}") from None
    if content.size != info.size:
        raise DataError(f"{path}: {content.size:,} bytes, and {info.size:,} were written; {PREPARE_AGAIN}")
    if verify and f"{zlib.crc32(content):08x}" != info.checksum:
        raise DataError(f"{path}: damaged (its checksum is another than when it was written); {PREPARE_AGAIN}")
    with pa.ipc.open_file(content) as reader:
        facts = reader.schema.metadata or {}
        batch = reader.get_batch(0)
    if facts.get(b"format") != _FORMAT.encode() or facts.get(b"fingerprint") != fingerprint.encode():
        raise DataError(f"{path}: of another format or tokenizer than corpus.json says; {PREPARE_AGAIN}")
    ids, lengths = batch.column("ids"), batch.column("sentence_lengths")
    return Shard(
        ids.values.to_numpy(),
        bounds_of(lengths.values.to_numpy().astype(np.int64)),
        lengths.offsets.to_numpy().astype(np.int64),
    )


class Corpus:
    """A corpus that is whole, open for reading.

    folder, manifest: where it is, and what corpus.json says of it
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._verified: set[str] = set()

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """The corpus in a folder. Raises `DataError` when it is missing, damaged or unfinished."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        if not manifest.finished:
            raise DataError(
                f"{folder}: this corpus is unfinished ({len(manifest.shards)} shards so far); go on with bertsmith "
                f"prepare --resume"
            )
        for info in manifest.parts:
            if not (folder / info.name).is_file():
                raise DataError(f"{folder / info.name}: missing, and corpus.json names it; {PREPARE_AGAIN}")
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """Of the tokenizer."""
        return self.manifest.fingerprint

    @property
    def vocab_size(self) -> int:
        """Tokens in the tokenizer's vocabulary."""
        return self.manifest.vocab_size

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """The shards to train on."""
        return self.manifest.shards

    @property
    def held_out(self) -> ShardInfo | None:
        """The documents set apart for evaluation, if any."""
        return self.manifest.held_out

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids. Raises `TokenizerError` when its files are missing or changed."""
        tokenizer = Tokenizer.from_folder(self.folder)
        self.check_tokenizer(tokenizer, self.folder)
        return tokenizer

    def check_tokenizer(self, tokenizer: Tokenizer, origin: str | Path) -> None:
        """Raise `TokenizerError` for another tokenizer than that of the corpus; ``origin`` says whose it is."""
        if tokenizer.fingerprint != self.fingerprint:
            raise TokenizerError(
                f"{origin}: another tokenizer than the one that made the corpus {self.folder}; prepare the corpus "
                f"again with --tokenizer {origin}, or take the tokenizer it was made with"
            )

    def shard(self, index: int) -> Shard:
        """A shard to train on, memory-mapped. Raises `DataError` naming the file when it is damaged."""
        return self._read(self.shards[index])

    def held_out_shard(self) -> Shard:
        """The documents set apart for evaluation. Raises `DataError` when there are none, or the file is damaged."""
        if self.held_out is None:
            raise DataError(f"{self.folder}: no documents are held out; prepare the corpus with a greater --held-out")
        return self._read(self.held_out)

    def _read(self, info: ShardInfo) -> Shard:
        shard = read_shard(self.folder, info, self.fingerprint, verify=info.name not in self._verified)
        self._verified.add(info.name)
        return shard
