"""index: what an index survives: kills, other writers, and damage that is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bertsmith.checkpoint import hold_folder
from bertsmith.cli.app import run
from bertsmith.embedding.index import Index
from bertsmith.stages import index as stage

from .conftest import contents, random_lines, refused
from .indexes import Place, answers, named_files
from .processes import KILLED, Processes

Capture = pytest.CaptureFixture[str]


def test_two_writers_at_once(place: Place, capfd: Capture) -> None:
    place.change({"a": "a cat"})
    before = contents(place.index)
    with hold_folder(place.index):
        for words in (place.words({"b": "a dog"}, "--add"), place.delete("a"), place.words({"b": "a"}, "--overwrite")):
            assert refused(words, capfd).startswith(f"{place.index} is in use by process {os.getpid()}; ")
        assert place.held() == {"a": "a cat"}  # a reader may go on
    assert contents(place.index) == before


def test_an_index_made_meanwhile_is_not_added_to_unasked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes one while this one waits to hold the folder."""
    place.change({"a": "a cat"})
    made = place.index.rename(place.folder / "made")

    def later(folder: Path) -> AbstractContextManager[None]:
        made.rename(folder)
        return hold_folder(folder)

    monkeypatch.setattr(stage, "hold_folder", later)
    assert run(place.words({"b": "a dog"})) == 2
    assert place.held() == {"a": "a cat"}


# Kills


def test_a_writer_killed_at_any_moment_leaves_the_earlier_index(place: Place, processes: Processes) -> None:
    """At every third file that it touches, until it ends; the next one removes what was left."""
    place.change({str(row): text for row, text in enumerate(random_lines(30))})
    place.change({"0": "a cat"}, "--add")
    first = shutil.copytree(place.index, place.folder / "first")
    before, held = answers(first), place.held()
    new = {"0": "a film", "new": "a dog"}
    killed = kept = 0
    for nth in range(1, 200, 3):
        shutil.rmtree(place.index)
        shutil.copytree(first, place.index)
        code, _ = processes.run(place.words(new, "--add"), place.index, nth)
        if code == 0:
            break
        assert code == KILLED, processes.told.read_text()
        killed += 1
        if place.held() == held:
            kept += 1
            assert answers(place.index) == before
        else:
            assert place.held() == {**held, **new}
        place.change(new, "--add")
        assert place.held() == {**held, **new}
        assert {path.name for path in place.index.iterdir()} == named_files(place.index)
    assert code == 0
    assert (killed >= 8, kept >= 5) == (True, True), (killed, kept)


def test_the_command_killed_from_outside(place: Place) -> None:
    place.change({str(row): text for row, text in enumerate(random_lines(30))})
    before = answers(place.index)
    words = place.words({f"n{row}": text for row, text in enumerate(random_lines(40_000, seed=1))}, "--add")
    process = subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *words, "--engine", "torch"],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and len(list(place.index.glob("part-*"))) < 3:  # until its texts are being written
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == KILLED
    assert {path.name for path in place.index.iterdir()} > named_files(place.index)
    assert answers(place.index) == before
    place.change({"one": "a cat"}, "--add")
    assert len(Index(place.index)) == 31
    assert {path.name for path in place.index.iterdir()} == named_files(place.index)


# Damage

DATA = ("part-*.npy", "part-*.arrow", "deleted-*.npy")


def cut(length: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:length])


def manifest(**changed: object) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, cut(length)) for name in DATA for length in (0, 5, 100, -3)),
        *((name, Path.unlink) for name in DATA),
        *(("index.json", cut(length)) for length in (0, 1, 60)),
        ("index.json", lambda path: path.write_bytes(b"\xff\xfe garbage")),
        ("index.json", lambda path: path.write_text("[]")),
        *(("index.json", manifest(**{name: value})) for name, value in (
            ("version", 2), ("model", 3), ("model", {}), ("model", {"name": 3}), ("parts", 3), ("parts", [["x"]]),
            ("deleted", 3), ("graph", 3), ("width", 31), ("more", 1),
        )),
    ],
)  # fmt: skip
def test_damage_is_told_in_a_line(name: str, damage: Callable[[Path], object], place: Place, capfd: Capture) -> None:
    place.change({"1": "a cat", "2": "a dog", "3": "a mat"})
    assert run(place.delete("2")) == 0
    (path,) = place.index.glob(name)
    damage(path)
    words = ["search", "--index", str(place.index), "--query", "a cat", "--top", "1"]
    told = refused(words, capfd)
    assert str(place.index) in told
    assert "; make the index again" in told or told.endswith("an object ({...}) is expected")
    place.change({"z": "a film"}, "--overwrite")
    assert place.held() == {"z": "a film"}
