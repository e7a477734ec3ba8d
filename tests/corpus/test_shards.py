"""Shards: what is written is read back without a copy, and what has changed since is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bertsmith.corpus.manifest import Manifest, write_manifest
from bertsmith.corpus.shards import HELD_OUT, Corpus, Shard, id_type, write_shard
from bertsmith.errors import DataError, TokenizerError
from bertsmith.text import Tokenizer
from bertsmith.text.ragged import bounds_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def random_rows(seed: int, documents: int = 50) -> list[list[list[int]]]:
    """Documents as lists of sentences as lists of ids."""
    random = np.random.default_rng(seed)
    return [
        [random.integers(0, 65536, random.integers(1, 20)).tolist() for _ in range(random.integers(1, 9))]
        for _ in range(documents)
    ]


def shard_of(rows: list[list[list[int]]], kind: type = np.uint16) -> Shard:
    """The shard of documents given as lists."""
    sentences = [sentence for document in rows for sentence in document]
    return Shard(
        np.array([one for sentence in sentences for one in sentence], kind),
        bounds_of([len(one) for one in sentences]),
        bounds_of([len(one) for one in rows]),
    )


def rows_of(shard: Shard) -> list[list[list[int]]]:
    """The documents of a shard as lists."""
    return [
        [shard.ids[slice(*shard.sentences[i : i + 2])].tolist() for i in range(*shard.documents[d : d + 2])]
        for d in range(len(shard))
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of two shards and one held-out document."""
    tokenizer = Tokenizer.from_vocabulary([*SPECIAL, "a"])
    tokenizer.save(tmp_path)
    facts = tokenizer.fingerprint
    infos = [write_shard(tmp_path / f"shard-0000{i}.arrow", shard_of(random_rows(i)), facts) for i in range(2)]
    held_out = write_shard(tmp_path / HELD_OUT, shard_of(random_rows(9, 1)), facts)
    write_manifest(tmp_path, Manifest(facts, 6, {}, shards=tuple(infos), held_out=held_out))
    return tmp_path


def test_reads_what_was_written_memory_mapped(corpus: Path) -> None:
    opened = Corpus.open(corpus)
    for index in range(2):
        shard = opened.shard(index)
        assert rows_of(shard) == random_rows(index)
        assert not shard.ids.flags.owndata
        assert not shard.ids.flags.writeable
        info = opened.shards[index]
        assert (info.documents, info.sentences, info.tokens) == (50, len(shard.sentences) - 1, len(shard.ids))
        assert info.size == (corpus / info.name).stat().st_size
    assert rows_of(opened.held_out_shard()) == random_rows(9, 1)
    assert opened.tokenizer().fingerprint == opened.fingerprint


def test_others_can_read_it(corpus: Path) -> None:
    table = pl.read_ipc(corpus / "shard-00001.arrow")
    rows = random_rows(1)
    assert table["ids"].to_list() == [[one for sentence in document for one in sentence] for document in rows]
    assert table["sentence_lengths"].to_list() == [[len(sentence) for sentence in document] for document in rows]


def test_a_large_vocabulary_has_wide_ids(tmp_path: Path) -> None:
    assert id_type(2**16) is np.uint16
    assert id_type(2**16 + 1) is np.int32
    info = write_shard(tmp_path / "shard-00000.arrow", shard_of([[[70_000, 1]]], np.int32), "x")
    write_manifest(tmp_path, Manifest("x", 70_001, {}, shards=(info,)))
    shard = Corpus.open(tmp_path).shard(0)
    assert shard.ids.dtype == np.int32
    assert rows_of(shard) == [[[70_000, 1]]]


def test_take_and_concatenate() -> None:
    rows = random_rows(3)
    shard = shard_of(rows)
    places = np.array([7, 7, 0, 49])
    assert rows_of(shard.take(places)) == [rows[i] for i in places]
    assert rows_of(shard.take(np.empty(0, np.int64))) == []
    assert rows_of(Shard.concatenate([shard, shard.take(places)])) == [*rows, *(rows[i] for i in places)]


@pytest.mark.parametrize("place", [3, 700, -3])
def test_a_flipped_bit_is_named_once_and_for_all(corpus: Path, place: int) -> None:
    """In the first bytes, among the ids, and at the end."""
    path = corpus / "shard-00001.arrow"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    opened = Corpus.open(corpus)
    opened.shard(0)
    for _ in range(2):
        with pytest.raises(DataError, match=r"shard-00001\.arrow: damaged \(its checksum"):
            opened.shard(1)


def test_what_is_missing_or_cut_off_is_named(corpus: Path) -> None:
    path = corpus / HELD_OUT
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"held-out\.arrow: [\d,]+ bytes, and [\d,]+ were written"):
        Corpus.open(corpus).held_out_shard()
    path.unlink()
    with pytest.raises(DataError, match=r"held-out\.arrow: missing, and corpus\.json names it"):
        Corpus.open(corpus)


def test_an_unfinished_corpus_is_not_opened(corpus: Path) -> None:
    write_manifest(corpus, replace(Corpus.open(corpus).manifest, next={"source": 1}))
    with pytest.raises(DataError, match=r"unfinished \(2 shards so far\); go on with bertsmith prepare --resume"):
        Corpus.open(corpus)


def test_a_corpus_without_held_out_documents_says_so(corpus: Path) -> None:
    write_manifest(corpus, replace(Corpus.open(corpus).manifest, held_out=None))
    with pytest.raises(DataError, match="no documents are held out"):
        Corpus.open(corpus).held_out_shard()


def test_another_tokenizer_is_refused(corpus: Path) -> None:
    other = Tokenizer.from_vocabulary([*SPECIAL, "b"])
    with pytest.raises(TokenizerError, match=r"runs/x: another tokenizer than the one that made the corpus"):
        Corpus.open(corpus).check_tokenizer(other, "runs/x")
    other.save(corpus)
    with pytest.raises(TokenizerError, match="another tokenizer than the one that made the corpus"):
        Corpus.open(corpus).tokenizer()


def test_a_shard_of_another_corpus_is_refused(corpus: Path) -> None:
    info = write_shard(corpus / "shard-00000.arrow", shard_of(random_rows(0)), "of another tokenizer")
    manifest = Corpus.open(corpus).manifest
    write_manifest(corpus, replace(manifest, shards=(info, manifest.shards[1])))
    with pytest.raises(DataError, match=r"shard-00000\.arrow: of another format or tokenizer"):
        Corpus.open(corpus).shard(0)
