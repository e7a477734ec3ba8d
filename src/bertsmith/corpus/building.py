"""Building a corpus: sources of text in, a folder of shards out, and on again from where it was stopped.

Enters: sources of documents, a tokenizer, a folder. Leaves: the folder of a corpus, see `bertsmith.corpus.shards`.
Knows nothing of the forms of text, and of no terminal.

This process reads the sources and writes the shards; others split and tokenize what lies between. A shard ends where a
block of documents ends, and blocks depend on the text alone, so a build that was killed and goes on ends in the same
bytes as one that was not, whatever the number of processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.manifest import MANIFEST, Manifest, read_manifest
from bertsmith.corpus.reading import Place, read_blocks
from bertsmith.corpus.sources import Source
from bertsmith.corpus.workers import Workers
from bertsmith.corpus.writing import BuildOptions, ShardWriter, remove_strays
from bertsmith.errors import SettingsError
from bertsmith.text import Tokenizer

BLOCK = 2**20  # characters of text that one process gets at a time


@dataclass(frozen=True)
class Progress:
    """How far a build has come."""

    sources_done: int
    num_sources: int
    text_bytes: int
    documents: int
    tokens: int


def build(
    sources: Sequence[Source],
    tokenizer: Tokenizer,
    folder: Path,
    options: BuildOptions,
    cleaning: CleaningOptions,
    *,
    more_options: Mapping[str, Any],
    workers: int,
    resume: bool,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Manifest:
    """Make the corpus of ``sources`` in ``folder``, replacing what corpus is there.

    more_options: of whoever found the sources; the manifest keeps them, and a resumed build must have the same
    workers:      processes besides this one
    resume:       go on with the build that is there, if any
    told:         is called at the start, and after every block

    Raises `DataError` for sources that cannot be read or hold no text, `SettingsError` for a resumed build that was
    begun with other options, and `OutputError` when the place is full. What is whole until then stays for ``resume``.
    """
    digest = hashlib.sha256("\n".join(f"{one.form} {one.name} {one.size}" for one in sources).encode()).hexdigest()
    manifest = Manifest(
        tokenizer.fingerprint,
        tokenizer.vocab_size,
        {**more_options, **asdict(cleaning), **asdict(options)},
        digest,
        next=asdict(Place()),
    )
    if resume and (folder / MANIFEST).exists():
        manifest = _continued(folder, manifest)
        remove_strays(folder, manifest)
    if manifest.next is None:
        return manifest
    writer = ShardWriter(folder, manifest, tokenizer, options, cleaning)
    start = Place(**manifest.next)
    told(Progress(start.source, len(sources), *writer.reached))
    with Workers(workers, tokenizer.recipe, options.language, cleaning) as team:
        blocks = read_blocks(sources, start, min(BLOCK, options.shard_tokens), team)
        for block, place in team.encode(blocks):
            writer.add(block, place)
            told(Progress(place.source, len(sources), *writer.reached))
    return writer.finish()


def _continued(folder: Path, wanted: Manifest) -> Manifest:
    """The manifest to go on with. Raises `SettingsError` when it is of another build than ``wanted``."""
    found = read_manifest(folder)
    changes = [
        f"{name} was {found.options.get(name)!r} when the corpus was begun, and is {wanted.options.get(name)!r} now"
        for name in found.options | wanted.options
        if found.options.get(name) != wanted.options.get(name)
    ]
    if found.fingerprint != wanted.fingerprint:
        changes.append("--tokenizer is another than when the corpus was begun")
    if found.sources != wanted.sources:
        changes.append("--input has other files than when the corpus was begun")
    if changes:
        raise SettingsError(f"{folder}: --resume: {changes[0]}; give it as it was, or start anew with --overwrite")
    return found
