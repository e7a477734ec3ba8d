"""Folders under real trouble: a full disk, a kill at every step, two processes at once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bertsmith.checkpoint import files
from bertsmith.checkpoint.files import finish_writing, hold_folder, writing_folder
from bertsmith.checkpoint.weights import write_weights
from bertsmith.errors import OutputError
from bertsmith.files import write_text

FILES = ["a.txt", "b.txt", "sub/c.txt"]


def write(folder: Path, content: str) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)


def read(folder: Path) -> set[str]:
    return {(folder / name).read_text() for name in FILES}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(folder: Path, error: BaseException) -> None:
    with writing_folder(folder) as staging:
        write(staging, "second")
        raise error


def save_large(folder: Path) -> None:
    with writing_folder(folder) as staging:
        write(staging, "second")
        write_weights({"x": torch.ones(10**6)}, staging / "model.safetensors")


def test_files_are_replaced_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    for content in ("first", "second"):
        with writing_folder(folder) as staging:
            write(staging, content)
        (folder / "log.jsonl").write_text("mine")
    assert read(folder) == {"second"}
    assert names(folder) == ["a.txt", "b.txt", "log.jsonl", "sub"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_after_an_error_nothing_has_changed(tmp_path: Path, error: BaseException) -> None:
    with writing_folder(tmp_path / "out") as staging:
        write(staging, "first")
    with pytest.raises(type(error)):
        fail(tmp_path / "out", error)
    assert read(tmp_path / "out") == {"first"}
    assert names(tmp_path / "out") == ["a.txt", "b.txt", "sub"]


def test_a_folder_made_for_a_write_that_failed_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        fail(tmp_path / "out", ValueError("no"))
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_written_is_told_as_the_folder(tmp_path: Path) -> None:
    """The staging folder, which is gone by then, means nothing to a user."""
    folder = tmp_path / "out"
    message = rf"^{folder}: cannot be written \(File name too long\); what it held before is unchanged"
    with pytest.raises(OutputError, match=message), writing_folder(folder) as staging:
        write_text(staging / ("x" * 300), "")
    assert names(tmp_path) == []


@pytest.mark.parametrize("moment", ["replace", "sync", "rmdir"])
def test_a_reader_that_is_overtaken_loses_nothing_of_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A reader finishes one save while its writer does the same, goes on, and declares the next one."""
    place: object = files if moment == "sync" else os
    call = getattr(place, moment)

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(place, moment, call)
        finish_writing(tmp_path)
        declare("second")
        call(*arguments)

    def declare(content: str) -> None:
        (tmp_path / "staging").mkdir()
        write(tmp_path / "staging", content)
        (tmp_path / "staging").replace(tmp_path / ".new")

    declare("first")
    monkeypatch.setattr(place, moment, overtaken)
    finish_writing(tmp_path)
    assert read(tmp_path) == {"second"}
    assert names(tmp_path) == ["a.txt", "b.txt", "sub"]


# Kills the process by SIGKILL at its nth call to the system's rename, replace, fsync, mkdir, rmdir or rmtree.
KILLED = """
import os, signal, shutil, sys
from pathlib import Path
folder, fatal = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def deadly(call):
    def counted(*arguments, **options):
        global count
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return counted
from bertsmith.checkpoint.files import writing_folder
for place, name in [(os, "rename"), (os, "replace"), (os, "fsync"), (os, "mkdir"), (os, "rmdir"),
                    (shutil, "rmtree")]:
    setattr(place, name, deadly(getattr(place, name)))
with writing_folder(folder) as staging:
    for name in ["a.txt", "b.txt", "sub/c.txt"]:
        (staging / name).parent.mkdir(exist_ok=True)
        (staging / name).write_text("second")
"""


def test_a_kill_at_any_step_leaves_one_whole_set_of_files(tmp_path: Path) -> None:
    seen = set()
    for fatal in range(1, 100):
        folder = tmp_path / str(fatal)
        with writing_folder(folder) as staging:
            write(staging, "first")
        # Forking is cheap where starting an interpreter that imports torch is not.
        child = os.fork()
        if child == 0:
            sys.argv = ["killed", str(folder), str(fatal)]
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            try:
                exec(KILLED, {})
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0
        finish_writing(folder)
        found = read(folder)
        assert len(found) == 1, f"files of two saves after a kill at step {fatal}"
        seen |= found
        with writing_folder(folder) as staging:
            write(staging, "third")
        assert read(folder) == {"third"}
        assert names(folder) == ["a.txt", "b.txt", "sub"]
        if not os.WIFSIGNALED(status):
            break
    assert seen == {"first", "second"}
    assert fatal > 10


def test_every_file_is_on_the_disk_before_the_set_is_declared_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    unsynced: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    def watched_rename(source: Path, target: Path) -> None:
        everything = [source, *source.rglob("*")]
        unsynced.extend(str(path) for path in everything if path.stat().st_ino not in synced)
        rename(source, target)
        synced.clear()

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    with writing_folder(tmp_path / "out") as staging:
        write(staging, "first")
    assert unsynced == []
    assert (tmp_path / "out").stat().st_ino in synced


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small file system cannot be mounted here; the file-size limit is tested instead")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_the_earlier_files_whole(tiny_disk: Path) -> None:
    folder = tiny_disk / "out"
    with writing_folder(folder) as staging:
        write(staging, "first")
    with pytest.raises(OutputError, match=r"No space left .* held before is unchanged; free some space") as full:
        save_large(folder)
    assert "\n" not in str(full.value)
    with pytest.raises(OutputError, match="No space left on device"), writing_folder(folder) as staging:
        write(staging, "second" * 10**5)
    assert read(folder) == {"first"}
    assert names(folder) == ["a.txt", "b.txt", "sub"]


def test_a_limit_on_file_size_leaves_the_earlier_files_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with writing_folder(folder) as staging:
        write(staging, "first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            save_large(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read(folder) == {"first"}
    assert names(folder) == ["a.txt", "b.txt", "sub"]


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match=f"{place}: cannot be written"), writing_folder(place):
            pass
        with pytest.raises(OutputError, match=f"{place}: cannot be written"), hold_folder(place):
            pass


def test_a_disk_without_room_for_a_lock_leaves_none(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"), hold_folder(tmp_path / "out"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []
    with hold_folder(tmp_path / "out"):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from bertsmith.checkpoint.files import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_folder_names_its_holder_and_a_kill_frees_it(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"{folder} is in use by process {holder.pid}; wait"), hold_folder(folder):
            pass
        (folder / f".tmp-{holder.pid}").mkdir()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with hold_folder(folder):
            assert names(folder) == [".lock"]
            with pytest.raises(OutputError, match=f"in use by process {os.getpid()}"), hold_folder(folder):
                pass
    assert names(folder) == []


def test_of_many_processes_one_holds_at_a_time(tmp_path: Path) -> None:
    """Children add to a counter without any other care; a lost addition shows that two held at once."""
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "count").write_text("0")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            done = 0
            while done < 50:
                try:
                    with hold_folder(folder):
                        count = int((tmp_path / "count").read_text())
                        time.sleep(0)
                        (tmp_path / "count").write_text(str(count + 1))
                        done += 1
                except OutputError:
                    time.sleep(0.0005)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert (tmp_path / "count").read_text() == "200"
