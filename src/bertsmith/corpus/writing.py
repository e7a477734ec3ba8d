"""Writing a corpus: encoded blocks in, shards and a manifest out.

Enters: blocks of documents as tokens, and the place in the sources where each ends. Leaves: the folder of a corpus, see
`bertsmith.corpus.shards`. Knows nothing of how documents are read and encoded.

With every shard the manifest notes the place where the next begins. Nothing in the folder changes before the first
shard is ready to be written.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.blocks import EncodedBlock
from bertsmith.corpus.cleaning import DUPLICATES, NEAR_DUPLICATES, CleaningOptions, Keys, SeenKeys
from bertsmith.corpus.manifest import Manifest, write_manifest
from bertsmith.corpus.reading import Place
from bertsmith.corpus.sentences import AUTO
from bertsmith.corpus.shards import HELD_OUT, Shard, read_shard, write_shard
from bertsmith.errors import DataError, SettingsError
from bertsmith.files import write_bytes
from bertsmith.text import Tokenizer

_OURS = re.compile(r"shard-\d{5,}\.arrow|held-out\.arrow|\.held-out-\d{5,}\.arrow|\.seen-\d{5,}\.keys|\..*\.part")


_KEY_BYTES = 8  # of a key, and of the checksum behind the keys of a file


@dataclass(frozen=True)
class BuildOptions:
    """What the rows of a corpus depend on, besides its sources and its tokenizer."""

    language: str = "auto"
    """Language of the text, for splitting sentences: en, zh, de, ...; auto takes every paragraph as it looks."""
    held_out: float = 0.005
    """Share of the documents to set apart for evaluation, chosen by their text; of a large corpus the first of them."""
    held_out_tokens: int = 500_000
    """Most tokens to set apart for evaluation."""
    shard_tokens: int = 2**24
    """Tokens in a shard, or some more: a shard is what training shuffles at a time."""

    def __post_init__(self) -> None:
        if self.language != AUTO and not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", self.language):
            raise SettingsError(f"--language is {self.language!r}; give auto, or a code as en, zh or de")
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"--held-out is {self.held_out:g}; it must be 0 or more and under 1")
        if self.held_out_tokens < 0:
            raise SettingsError(f"--held-out-tokens is {self.held_out_tokens}; it must be 0 or more")
        if self.shard_tokens < 1:
            raise SettingsError(f"--shard-tokens is {self.shard_tokens}; it must be 1 or more")


class ShardWriter:
    """Gathers encoded documents, drops what repeats others, sets some apart, and writes the rest shard by shard.

    manifest: of what is written
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        tokenizer: Tokenizer,
        options: BuildOptions,
        cleaning: CleaningOptions,
    ) -> None:
        self.manifest = manifest
        self._folder = folder
        self._tokenizer = tokenizer
        self._options = options
        self._keyed = cleaning.duplicates != "keep"
        self._repeats = DUPLICATES if cleaning.duplicates == "exact" else NEAR_DUPLICATES
        self._place = Place(**(manifest.next or {}))
        self._dropped = Counter(manifest.dropped) - Counter(self._place.dropped)  # by encoding, and here
        self._text_bytes = manifest.text_bytes
        self._pending: list[Shard] = []
        self._held_out: list[Shard] = []
        if manifest.held_out is not None:
            self._held_out.append(read_shard(folder, manifest.held_out, manifest.fingerprint))
        self._seen = SeenKeys(self._read_keys())
        self._new_keys: list[Keys] = []

    @property
    def reached(self) -> tuple[int, int, int]:
        """Text bytes, documents and tokens so far."""
        parts = [*self._pending, *self._held_out]
        documents = sum(one.documents for one in self.manifest.shards) + sum(map(len, parts))
        tokens = sum(one.tokens for one in self.manifest.shards) + sum(len(one.ids) for one in parts)
        return self._text_bytes, documents, tokens

    def add(self, block: EncodedBlock, place: Place) -> None:
        """Take the documents of a block; ``place`` is where it ends."""
        self._place = place
        self._dropped += block.dropped
        new = self._new(block.keys)
        self._text_bytes += int(block.sizes[new].sum())
        held_out = self._choose(new & (block.chances < self._options.held_out), block.shard)
        for chosen, parts in ((held_out, self._held_out), (new & ~held_out, self._pending)):
            if chosen.any():
                parts.append(block.shard if chosen.all() else block.shard.take(np.flatnonzero(chosen)))
        if sum(len(one.ids) for one in self._pending) >= self._options.shard_tokens:
            self._write_shard()
            self._write_held_out(f".held-out-{len(self.manifest.shards):05}.arrow")
            self._write_keys()
            self._write_manifest(asdict(place))

    def finish(self) -> Manifest:
        """Write the rest, and declare the corpus whole. Raises `DataError` when there is nothing to train on."""
        if self._pending:
            self._write_shard()
        if not self.manifest.shards:
            if self._held_out:
                raise DataError("all documents are held out; give a smaller --held-out")
            lost = "; ".join(f"{name}: {number:,}" for name, number in self._all_dropped().items())
            raise DataError(
                f"there is no text in the input{lost and f' (left out: {lost})'}; name other files as --input"
            )
        self._write_held_out(HELD_OUT)
        self._tokenizer.save(self._folder)
        self._write_manifest(None)
        return self.manifest

    def _new(self, keys: Keys) -> NDArray[np.bool_]:
        """(D,) which documents share none of their keys (D, K) with an earlier one."""
        new = np.ones(len(keys), np.bool_)
        if self._keyed:
            for row, of_row in enumerate(keys):
                new[row] = not self._seen.has_any(of_row)
                if new[row]:
                    self._seen.add(of_row)
            self._new_keys.append(keys[new])
            self._dropped[self._repeats] += len(keys) - int(new.sum())
        return new

    def _choose(self, wanted: NDArray[np.bool_], shard: Shard) -> NDArray[np.bool_]:
        """(D,) which documents of those wanted to hold out: the first, while there is room."""
        room = self._options.held_out_tokens - sum(len(one.ids) for one in self._held_out)
        return wanted & (np.cumsum(np.diff(shard.token_bounds) * wanted) <= room)

    def _write_shard(self) -> None:
        if not self.manifest.shards:  # whatever corpus was here ends now
            write_manifest(self._folder, self.manifest)
            remove_strays(self._folder, self.manifest)
        name = f"shard-{len(self.manifest.shards):05}.arrow"
        shard = Shard.concatenate(self._pending)
        self._pending = []  # before the file is made: the ids are in memory twice, not three times
        info = write_shard(self._folder / name, shard, self.manifest.fingerprint)
        self.manifest = replace(self.manifest, shards=(*self.manifest.shards, info))

    def _write_held_out(self, name: str) -> None:
        """Write all that is held out so far under a new name: the last file stays until the manifest names this one."""
        if self._held_out:
            self._held_out = [Shard.concatenate(self._held_out)]
            info = write_shard(self._folder / name, self._held_out[0], self.manifest.fingerprint)
            self.manifest = replace(self.manifest, held_out=info)

    def _write_keys(self) -> None:
        """Write the keys of the documents since the last shard, for a build that goes on from here."""
        if self._keyed:
            path = self._folder / _key_files(self.manifest)[-1]
            keys = np.concatenate(self._new_keys).tobytes()
            write_bytes(path, keys + zlib.crc32(keys).to_bytes(_KEY_BYTES, "little"))
            self._new_keys = []

    def _read_keys(self) -> Keys:
        paths = [self._folder / name for name in _key_files(self.manifest) if self._keyed]
        found = []
        for path in paths:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: what was seen before is lost ({error}); use --overwrite") from None
            keys, checksum = content[:-_KEY_BYTES], content[-_KEY_BYTES:]
            if checksum != zlib.crc32(keys).to_bytes(_KEY_BYTES, "little"):
                raise DataError(f"{path}: damaged (its checksum is another than when it was written); use --overwrite")
            found.append(keys)
        return np.frombuffer(b"".join(found), np.uint64)

    def _write_manifest(self, next_place: Mapping[str, Any] | None) -> None:
        self.manifest = replace(
            self.manifest, text_bytes=self._text_bytes, dropped=self._all_dropped(), next=next_place
        )
        write_manifest(self._folder, self.manifest)
        remove_strays(self._folder, self.manifest)

    def _all_dropped(self) -> dict[str, int]:
        return dict(sorted((self._dropped + Counter(self._place.dropped)).items()))


def remove_strays(folder: Path, manifest: Manifest) -> None:
    """Remove files of a corpus that the manifest does not know: of an earlier corpus, or of a build that was killed."""
    known = {*(one.name for one in manifest.parts), *_key_files(manifest)}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in known:
            path.unlink(missing_ok=True)


def _key_files(manifest: Manifest) -> list[str]:
    """Names of the files of keys that a build needs to go on, where keys matter: one for each shard."""
    return [] if manifest.finished else [f".seen-{number:05}.keys" for number in range(1, len(manifest.shards) + 1)]
