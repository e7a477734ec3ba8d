"""The index against a dictionary of vectors, through many changes; and what a kill or damage leaves of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bertsmith.embedding import index as reading
from bertsmith.embedding.index import Index
from bertsmith.embedding.index_files import Manifest, remove_abandoned
from bertsmith.embedding.index_writing import IndexWriter
from bertsmith.errors import DataError

E = 6


def unit(rows: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(rows, E)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def manifest() -> Manifest:
    return Manifest({"name": "m"}, "f", E)


def add(folder: Path, vectors: NDArray[np.float32], ids: list[str | None], *, exact: int = 10**6) -> IndexWriter:
    writer = IndexWriter(folder, manifest())
    half = len(ids) // 2
    texts = [f"text of {one}" for one in ids]
    writer.add([(vectors[:half], ids[:half], texts[:half]), (vectors[half:], ids[half:], texts[half:])])
    writer.commit(exact=exact)
    return writer


def brute(held: dict[str, NDArray[np.float32]], query: NDArray[np.float32], number: int) -> list[str]:
    return sorted(held, key=lambda one: -float(held[one] @ query))[:number]


@pytest.mark.parametrize("exact", [10**6, 20], ids=["exact", "graph"])
def test_search_is_brute_force_after_any_changes(exact: int, tmp_path: Path) -> None:
    if exact == 20:
        pytest.importorskip("usearch")
    generator = np.random.default_rng(5)
    held: dict[str, NDArray[np.float32]] = {}
    for turn in range(8):
        ids = [str(one) for one in generator.choice(120, 30, replace=False)]
        vectors = unit(30, seed=turn)
        writer = add(tmp_path, vectors, list(ids), exact=exact)
        assert writer.replaced == len(set(ids) & set(held))
        held |= dict(zip(ids, vectors, strict=True))
        gone = [str(one) for one in generator.choice(sorted(held), 5, replace=False)]
        deleter = IndexWriter(tmp_path, manifest())
        assert deleter.delete(gone) == 5
        deleter.commit(exact=exact)
        held = {one: vector for one, vector in held.items() if one not in gone}

        index = Index(tmp_path)
        assert len(index) == len(held)
        queries = unit(7, seed=100 + turn)
        for query, hits in zip(queries, index.search(queries, 5), strict=True):
            assert [hit.id for hit in hits] == brute(held, query, 5)
            assert [hit.text for hit in hits] == [f"text of {hit.id}" for hit in hits]
            assert [hit.score for hit in hits] == pytest.approx([float(held[hit.id] @ query) for hit in hits], abs=1e-5)
    names = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert names == {"index.json", "part", "deleted"} | ({"graph"} if exact == 20 else set())


def test_a_text_without_an_id_gets_its_number(tmp_path: Path) -> None:
    add(tmp_path, unit(3), [None, "x", None])
    add(tmp_path, unit(2, seed=1), [None, None])
    assert Index(tmp_path).rows_by_id() == {"0": 0, "x": 1, "2": 2, "3": 3, "4": 4}


def test_more_than_there_are_may_be_asked_for(tmp_path: Path) -> None:
    add(tmp_path, unit(3), ["a", "b", "c"])
    assert sorted(hit.id for hit in Index(tmp_path).search(unit(1, seed=9), 10)[0]) == ["a", "b", "c"]


def test_an_id_twice_among_new_texts_is_refused_and_the_index_stays(tmp_path: Path) -> None:
    add(tmp_path, unit(2), ["a", "b"])
    before = (tmp_path / "index.json").read_bytes()
    writer = IndexWriter(tmp_path, manifest())
    with pytest.raises(DataError, match="the id 'c' comes twice, in the texts 1 and 2"):
        writer.add([(unit(2), ["c", "c"], ["one", "other"])])
    remove_abandoned(tmp_path)
    assert (tmp_path / "index.json").read_bytes() == before
    assert len(Index(tmp_path)) == 2
    assert len(list(tmp_path.glob("part-*"))) == 2


def test_an_unknown_id_cannot_be_deleted(tmp_path: Path) -> None:
    add(tmp_path, unit(2), ["a", "b"])
    with pytest.raises(DataError, match="no text has the id 'z'; nothing was deleted"):
        IndexWriter(tmp_path, manifest()).delete(["a", "z"])


def test_a_writer_that_never_commits_changes_nothing(tmp_path: Path) -> None:
    add(tmp_path, unit(2), ["a", "b"])
    IndexWriter(tmp_path, manifest()).add([(unit(2, seed=3), ["a", "n"], ["new", "newer"])])
    assert sorted(Index(tmp_path).rows_by_id()) == ["a", "b"]
    add(tmp_path, unit(1, seed=4), ["c"])  # the next writer removes what that one left
    assert len(list(tmp_path.glob("part-*.npy"))) == 2


def test_replacing_starts_anew(tmp_path: Path) -> None:
    add(tmp_path, unit(2), ["a", "b"])
    writer = IndexWriter(tmp_path, manifest(), replacing=True)
    writer.add([(unit(1), ["z"], ["alone"])])
    assert len(Index(tmp_path)) == 2
    writer.commit()
    assert list(Index(tmp_path).rows_by_id()) == ["z"]
    assert len(list(tmp_path.glob("part-*.npy"))) == 1


def test_a_reader_keeps_the_index_it_opened(tmp_path: Path) -> None:
    """Even where it has asked nothing of it before all files are replaced."""
    add(tmp_path, unit(3), ["a", "b", "c"])
    deleter = IndexWriter(tmp_path, manifest())
    deleter.delete(["b"])
    deleter.commit()
    before, reader, query = Index(tmp_path), Index(tmp_path), unit(1, seed=9)
    found = before.search(query, 3)
    assert sorted(hit.id for hit in found[0]) == ["a", "c"]
    writer = IndexWriter(tmp_path, manifest(), replacing=True)
    writer.add([(unit(1), ["z"], ["alone"])])
    writer.commit()
    assert before.search(query, 3) == found
    assert reader.search(query, 3) == found


def test_a_reader_that_a_writer_overtakes_finds_what_is_there_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer replaces all files when the reader has read which ones to open."""
    add(tmp_path, unit(3), ["a", "b", "c"])
    writer = IndexWriter(tmp_path, manifest(), replacing=True)
    writer.add([(unit(1), ["z"], ["alone"])])
    read, waiting = reading.read_manifest, [writer.commit]

    def overtaken(folder: Path) -> Manifest:
        found = read(folder)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(reading, "read_manifest", overtaken)
    assert [hit.text for hit in Index(tmp_path).search(unit(1, seed=9), 3)[0]] == ["alone"]


def test_what_is_no_index_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no index; make one with: bertsmith index"):
        Index(tmp_path)
    add(tmp_path, unit(3), ["a", "b", "c"])
    (part,) = tmp_path.glob("part-*.npy")
    whole = part.read_bytes()
    part.write_bytes(whole[:-7])
    with pytest.raises(DataError, match=r"part-\w+\.npy: is missing or damaged .*; make the index again"):
        Index(tmp_path).search(unit(1), 1)
    part.write_bytes(whole)
    values = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**values, "version": 99}))
    with pytest.raises(DataError, match="of another version of bertsmith; make the index again"):
        Index(tmp_path)
