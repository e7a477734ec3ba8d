"""Building: shards that tell what the sources said, whatever is killed on the way and however many processes help."""

from __future__ import annotations

import errno
import os
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.corpus import writing
from bertsmith.corpus.blocks import TOKENLESS
from bertsmith.corpus.building import Progress, build
from bertsmith.corpus.cleaning import DUPLICATES, CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.corpus.manifest import Manifest, read_manifest
from bertsmith.corpus.shards import HELD_OUT, Corpus, Shard
from bertsmith.corpus.sources import Source
from bertsmith.corpus.writing import BuildOptions
from bertsmith.errors import DataError, OutputError, SettingsError
from bertsmith.text import Tokenizer

LETTERS = string.ascii_lowercase
TOKENIZER = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS])
KEEP_ALL = CleaningOptions()
SMALL = BuildOptions(held_out=0.1, held_out_tokens=150, shard_tokens=200)


@dataclass(frozen=True)
class Said(Source):
    """A source whose documents are given; a document of no sentences is dropped and counted."""

    said: tuple[tuple[str, ...], ...] = ()

    def documents(self, counts: Counter[str]) -> Iterator[Document]:
        for sentences in self.said:
            if sentences:
                yield Document(list(sentences), True, self.name)
            else:
                counts["titles"] += 1


def sources(seed: int = 0, number: int = 5, documents: int = 40) -> list[Said]:
    """Random documents, one in ten of which is dropped and one in ten has no tokens."""
    random = np.random.default_rng(seed)

    def document() -> tuple[str, ...]:
        kind = random.integers(10)
        if kind < 2:
            return ("\u200b",) if kind else ()
        return tuple(
            " ".join(random.choice(list(LETTERS), random.integers(1, 9))) for _ in range(random.integers(1, 5))
        )

    return [Said(f"file {i}", "sentences", said=tuple(document() for _ in range(documents))) for i in range(number)]


def made(folder: Path, given: Sequence[Source], options: BuildOptions = SMALL, **more: Any) -> Manifest:
    """Build a corpus with `build`."""
    folder.mkdir(exist_ok=True)
    tokenizer, cleaning = more.pop("tokenizer", TOKENIZER), more.pop("cleaning", KEEP_ALL)
    arguments = {"more_options": {"form": "sentences"}, "workers": 0, "resume": False, **more}
    return build(given, tokenizer, folder, options, cleaning, **arguments)


def words_of(shard: Shard) -> list[tuple[str, ...]]:
    """The documents of a shard as sentences."""
    return [
        tuple(
            " ".join(TOKENIZER.vocabulary[one] for one in shard.ids[slice(*shard.sentences[i : i + 2])])
            for i in range(*shard.documents[d : d + 2])
        )
        for d in range(len(shard))
    ]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_corpus_says_what_the_sources_said(tmp_path: Path) -> None:
    given = sources()
    told: list[Progress] = []
    manifest = made(tmp_path, given, told=told.append)
    corpus = Corpus.open(tmp_path)
    assert corpus.manifest == manifest
    shards = [corpus.shard(i) for i in range(len(corpus.shards))]
    assert len(shards) > 5
    assert all(len(shard.ids) >= SMALL.shard_tokens for shard in shards[:-1])
    held_out = words_of(corpus.held_out_shard())
    trained = [document for shard in shards for document in words_of(shard)]
    expected = [one for source in given for one in source.said if one not in ((), ("\u200b",))]
    assert sorted(trained + held_out) == sorted(expected)
    assert trained == [one for one in expected if one not in held_out]  # in order
    assert held_out == [one for one in expected if one in held_out]

    assert manifest.dropped == {
        "titles": sum(one == () for source in given for one in source.said),
        TOKENLESS: sum(one == ("\u200b",) for source in given for one in source.said),
    }
    assert manifest.text_bytes == sum(len("\n".join(one).encode()) for one in expected)
    assert manifest.total("tokens") == sum(len(one.split()) for document in expected for one in document)
    assert manifest.options == {**vars(SMALL), **vars(KEEP_ALL), "form": "sentences"}
    assert corpus.tokenizer().fingerprint == TOKENIZER.fingerprint
    last = told[-1]
    assert (last.sources_done, last.num_sources) == (5, 5)
    assert (last.text_bytes, last.documents) == (manifest.text_bytes, len(expected))
    assert last.tokens == manifest.total("tokens")
    assert [one.tokens for one in told] == sorted(one.tokens for one in told)


def test_documents_are_held_out_by_their_text_up_to_a_bound(tmp_path: Path) -> None:
    given = sources()
    few = made(tmp_path / "few", given)
    assert few.held_out is not None
    assert 100 < few.held_out.tokens <= SMALL.held_out_tokens
    held_out = words_of(Corpus.open(tmp_path / "few").held_out_shard())
    unbounded = replace(SMALL, held_out_tokens=10**6)
    made(tmp_path / "all", given[::-1], unbounded)
    all_held_out = words_of(Corpus.open(tmp_path / "all").held_out_shard())
    assert set(held_out) < set(all_held_out)  # the same texts, though the order of the files is another
    assert abs(len(all_held_out) / 160 - 0.1) < 0.07
    assert made(tmp_path / "none", given, replace(SMALL, held_out=0.0)).held_out is None
    assert not (tmp_path / "none" / HELD_OUT).exists()


def test_processes_change_nothing(tmp_path: Path) -> None:
    made(tmp_path / "alone", sources())
    made(tmp_path / "two", sources(), workers=2)
    assert content(tmp_path / "alone") == content(tmp_path / "two")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("nth", range(1, 50, 6))
def test_a_build_stopped_anywhere_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Stopped before its nth change of a file and, going on, again; first over an earlier corpus."""
    given = [*sources(), *sources()[:2]]  # which repeats itself
    cleaning = CleaningOptions("exact")
    whole = made(tmp_path / "whole", given, cleaning=cleaning)
    assert whole.dropped[DUPLICATES] > 50
    made(tmp_path / "stopped", sources(seed=1), replace(SMALL, held_out=0.3))
    left = 0

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return function(*arguments, **more)

        monkeypatch.setattr(module, name, watched)

    for name in ("write_shard", "write_bytes", "write_manifest", "remove_strays"):
        watch(writing, name)
    watch(Path, "unlink")
    stops = 0
    begun = False  # before that, the earlier corpus is whole
    while True:
        left = nth + 10 * stops
        try:
            made(tmp_path / "stopped", given, cleaning=cleaning, resume=begun)
            break
        except Killed:
            stops += 1
            begun = not read_manifest(tmp_path / "stopped").finished
            if begun:
                with pytest.raises(DataError, match="unfinished"):
                    Corpus.open(tmp_path / "stopped")
    assert stops
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_damaged_memory_of_what_was_seen_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, shards = writing.write_shard, 0

    def stop_at_the_third(*arguments: Any) -> Any:
        nonlocal shards
        shards += 1
        if shards == 3:
            raise Killed
        return write(*arguments)

    monkeypatch.setattr(writing, "write_shard", stop_at_the_third)
    with pytest.raises(Killed):
        made(tmp_path, sources(), cleaning=CleaningOptions("exact"))
    monkeypatch.undo()
    keys = sorted(tmp_path.glob(".seen-*.keys"))[0]
    content = bytearray(keys.read_bytes())
    content[3] ^= 1
    keys.write_bytes(content)
    with pytest.raises(DataError, match=r"\.seen-00001\.keys: damaged \(its checksum is another"):
        made(tmp_path, sources(), cleaning=CleaningOptions("exact"), resume=True)


def test_resuming_a_whole_corpus_tidies_up_and_changes_nothing(tmp_path: Path) -> None:
    before = made(tmp_path, sources())
    files = content(tmp_path)
    for name in (".held-out-00007.arrow", "shard-00099.arrow", ".vocab.txt.0a1b2c3d.part"):
        (tmp_path / name).touch()
    assert made(tmp_path, sources(), resume=True) == before
    assert content(tmp_path) == files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": replace(SMALL, held_out=0.2)}, "held_out was 0.1 when the corpus was begun, and is 0.2 now"),
        ({"more_options": {"form": "paragraphs"}}, "form was 'sentences' when the corpus was begun"),
        ({"given": sources(number=4)}, "--input has other files than when the corpus was begun"),
        ({"cleaning": CleaningOptions("exact")}, "duplicates was 'keep' when the corpus was begun"),
        ({"tokenizer": Tokenizer.from_vocabulary([*TOKENIZER.vocabulary, "aa"])}, "--tokenizer is another than when"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_what_is_resumed_must_be_the_same(
    tmp_path: Path, change: dict[str, Any], message: str, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if finished:
        made(tmp_path, sources())
    else:
        stop_at_shard(3, monkeypatch)
        with pytest.raises(OutputError):
            made(tmp_path, sources())
        monkeypatch.undo()
    files = content(tmp_path)
    arguments = {"given": sources(), "options": SMALL, **change}
    with pytest.raises(SettingsError, match=f"--resume: .*{message}"):
        made(tmp_path, arguments.pop("given"), arguments.pop("options"), resume=True, **arguments)
    assert content(tmp_path) == files


def stop_at_shard(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk full when the shard of this number is to be put in place."""
    replace_file = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == f"shard-{number:05}.arrow":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(source, target)

    monkeypatch.setattr("os.replace", full)


def test_a_full_disk_leaves_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "whole", sources())
    stop_at_shard(3, monkeypatch)
    with pytest.raises(OutputError, match=r"shard-00003\.arrow: cannot be written \(No space left on device\)"):
        made(tmp_path / "full", sources())
    assert not list((tmp_path / "full").glob("*.part"))
    assert len(read_manifest(tmp_path / "full").shards) == 3
    monkeypatch.undo()
    made(tmp_path / "full", sources(), resume=True)
    assert content(tmp_path / "full") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], SMALL, r"^there is no text in the input; name other files"),
        (
            [Said("file", "sentences", said=((), ("\u200b",)))],
            SMALL,
            r"^there is no text in the input \(left out: documents without a token: 1; titles: 1\); name other",
        ),
        (sources(), replace(SMALL, held_out=0.999, held_out_tokens=10**6), "^all documents are held out; give a small"),
    ],
)
def test_nothing_to_train_on_is_told_and_leaves_all_as_it_was(
    tmp_path: Path, given: list[Said], options: BuildOptions, message: str
) -> None:
    made(tmp_path, sources(seed=1))
    files = content(tmp_path)
    with pytest.raises(DataError, match=message):
        made(tmp_path, given, options)
    assert content(tmp_path) == files


def test_what_repeats_itself_is_told_and_left_out(tmp_path: Path) -> None:
    given = [*sources(number=2), *sources(number=2)]
    kept = made(tmp_path / "kept", given)
    dropped = made(tmp_path / "dropped", given, cleaning=CleaningOptions("exact"))
    once = made(tmp_path / "once", given[:2], cleaning=CleaningOptions("exact"))
    assert (
        dropped.total("documents") == once.total("documents") == kept.total("documents") - dropped.dropped[DUPLICATES]
    )
    assert dropped.text_bytes == once.text_bytes
    assert DUPLICATES not in kept.dropped
    for manifest in (kept, dropped):
        assert manifest.total("documents") + sum(manifest.dropped.values()) == 4 * 40


def test_one_document_is_a_corpus(tmp_path: Path) -> None:
    """Whether it is enough is for training to say."""
    manifest = made(tmp_path, [Said("file", "sentences", said=(("a b", "c"),))], replace(SMALL, held_out=0.0))
    assert manifest.total("documents") == 1
    assert words_of(Corpus.open(tmp_path).shard(0)) == [("a b", "c")]


def test_a_source_that_has_become_shorter_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at_shard(3, monkeypatch)
    with pytest.raises(OutputError):
        made(tmp_path, sources())
    monkeypatch.undo()
    shorter = [replace(one, said=one.said[:3]) for one in sources()]
    with pytest.raises(DataError, match=r"^file \d: has \d documents? now, and had \d+ or more when this corpus was"):
        made(tmp_path, shorter, resume=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"held_out": 1.0}, "--held-out is 1; it must be 0 or more and under 1"),
        ({"held_out": float("nan")}, "--held-out is nan"),
        ({"held_out_tokens": -1}, "--held-out-tokens is -1"),
        ({"shard_tokens": 0}, "--shard-tokens is 0"),
    ],
)
def test_options_out_of_range_are_told(option: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BuildOptions(**option)
