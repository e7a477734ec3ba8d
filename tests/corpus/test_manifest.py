"""corpus.json: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bertsmith.corpus.manifest import MANIFEST, Manifest, ShardInfo, read_manifest, write_manifest
from bertsmith.errors import DataError

WHOLE = Manifest(
    fingerprint="ab",
    vocab_size=30,
    options={"held_out": 0.005, "language": "größer"},
    text_bytes=1234,
    dropped={"titles": 3},
    shards=(ShardInfo("shard-00000.arrow", 2, 4, 10, "0a", 99), ShardInfo("shard-00001.arrow", 1, 1, 5, "0b", 9)),
    held_out=ShardInfo("held-out.arrow", 1, 2, 3, "0c", 7),
)


def test_reads_what_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, WHOLE)
    assert read_manifest(tmp_path) == WHOLE
    shown = json.loads((tmp_path / MANIFEST).read_text())
    assert (shown["documents"], shown["sentences"], shown["tokens"]) == (4, 7, 18)


@pytest.mark.parametrize(
    ("pattern", "changed"), [('"tokens": 10', '"tokens": 11'), ("größer", "grosser"), ('"0b"', '"0d"')]
)
def test_what_was_changed_is_refused(tmp_path: Path, pattern: str, changed: str) -> None:
    write_manifest(tmp_path, WHOLE)
    path = tmp_path / MANIFEST
    content = path.read_text(encoding="utf-8")
    assert content.count(pattern) == 1
    path.write_text(content.replace(pattern, changed), encoding="utf-8")
    with pytest.raises(DataError, match=r"corpus\.json: damaged, or edited by hand"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1, column 2: not valid JSON"),
        ("[]", "holds a JSON list"),
        ('{"name": "x"}', "damaged, or edited by hand"),
        ('{"version": 99}', "a corpus of version 99; this bertsmith reads up to 1"),
    ],
)
def test_what_is_no_manifest_is_told_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_place_without_a_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no corpus; make one with bertsmith prepare"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        read_manifest(tmp_path / "nowhere")
