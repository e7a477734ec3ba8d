"""Workers: results in order, the same whatever their number, and no process that outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bertsmith.corpus import workers
from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.corpus.sources import Source, find_sources
from bertsmith.corpus.workers import Workers, read_whole
from bertsmith.errors import DataError, SettingsError
from bertsmith.text import Tokenizer

TOKENIZER = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "."])


def documents(*rows: list[str]) -> list[Document]:
    """Documents of sentences."""
    return [Document(texts, True, f"line {number}") for number, texts in enumerate(rows)]


def team(number: int) -> Workers:
    return Workers(number, TOKENIZER.recipe, "auto", CleaningOptions())


def test_blocks_come_in_order() -> None:
    """Blocks of very different length, so that later ones are done first."""
    blocks = [documents(*([["a b c"]] * (5000 if number % 3 == 0 else 1)), ["d"] * number) for number in range(12)]
    with team(0) as alone, team(2) as pooled:
        expected = list(alone.encode((one, i) for i, one in enumerate(blocks)))
        found = list(pooled.encode((one, i) for i, one in enumerate(blocks)))
    assert [tag for _, tag in found] == list(range(12))
    for (one, _), (other, _) in zip(expected, found, strict=True):
        for name in ("ids", "sentences", "documents"):
            assert np.array_equal(getattr(one.shard, name), getattr(other.shard, name))
        assert one.chances.tolist() == other.chances.tolist()
        assert one.sizes.tolist() == other.sizes.tolist()


def test_files_are_read_in_order(tmp_path: Path) -> None:
    for number in range(9):
        text = "".join(f"This is sentence {i} of file {number}.\n" for i in range(1 + 2000 * (number % 2)))
        (tmp_path / f"{number}.txt").write_text(text)
    batches = [([source], source.name) for source in find_sources([str(tmp_path)], form="sentences")]
    with team(0) as alone, team(2) as pooled:
        expected = list(alone.read(batches))
        assert list(pooled.read(batches)) == expected
    assert [tag for _, tag in expected] == [name for _, name in batches]
    assert all(found == read_whole(batch) for (found, _), (batch, _) in zip(expected, batches, strict=True))


def test_a_file_that_proves_long_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = []
    for name, number in (("short", 1), ("long", 9)):
        (tmp_path / name).write_text("One sentence.\n\n" * number)
        sources.append(Source(str(tmp_path / name), "sentences", None))
    monkeypatch.setattr(workers, "LONGEST_WHOLE", 100)
    whole, too_long = read_whole(sources)
    assert whole == ([Document(["One sentence."], True, f"{tmp_path / 'short'}, line 1")], Counter())
    assert too_long is None


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, number: int) -> None:
    (tmp_path / "text").write_bytes(b"A sentence.\nNot \xff UTF-8.\n")
    with team(number) as one, pytest.raises(DataError, match=r"text, line 2: byte 0xff"):
        list(one.read([([Source(str(tmp_path / "text"), "sentences", None)], 0)]))


def test_a_process_that_is_killed_is_told_in_one_line() -> None:
    def blocks() -> Iterator[tuple[list[Document], int]]:
        for number in range(100):
            if number == 6:  # the process is at work by now
                for child in multiprocessing.active_children():
                    child.kill()
            yield documents(["a"]), number

    with team(1) as one, pytest.raises(SettingsError, match=r"a worker process was killed.*fewer --workers"):
        list(one.encode(blocks()))


def test_an_interruption_is_for_the_parent_alone() -> None:
    """Also while they start."""
    with team(2) as two:
        children = set(multiprocessing.active_children())
        assert len(children) == 2
        for child in children:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGINT)
        found = list(two.encode((documents(["a"]), number) for number in range(9)))
        assert [number for _, number in found] == list(range(9))
        assert set(multiprocessing.active_children()) == children


PARENT = """
from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.corpus.workers import Workers
from bertsmith.text import Tokenizer

def blocks():
    for number in range(10**9):
        yield [Document(["a"], True, "")], number

if __name__ == "__main__":
    tokenizer = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    for _, number in Workers(2, tokenizer.recipe, "auto", CleaningOptions()).encode(blocks()):
        if number == 10:
            print("at work", flush=True)
"""


def test_processes_end_with_a_parent_that_is_killed() -> None:
    """They share its standard output, which has an end when the last of them has ended."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "at work\n"
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=60)
