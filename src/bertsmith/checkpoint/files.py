"""Folders whose files change together, and folders that one process holds.

Enters: a folder, and code that writes files. Leaves: all of those files in place, or none. Knows nothing of what the
files are.

A folder of results is a checkpoint, a log and the state of a run at once, may be a mount point, and may be where the
user stands; so it is never itself renamed. New files are written to a staging folder within it, synced, and declared
whole by one rename. Only then do they move over the earlier files, one rename each:

    .tmp-<pid>/    being written; means nothing, and is removed by the next writer if its process was killed
    .new/          whole; whoever opens the folder next finishes the moves if the writer was killed among them

So at every moment either the earlier files are all in place, or all the new ones are there to be moved.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bertsmith.errors import OutputError
from bertsmith.files import output_error, sync

_TEMPORARY = ".tmp-"
_STAGED = ".new"
_LOCK = ".lock"


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write files into; on leaving, put them into ``folder`` together.

    Files that ``folder`` holds besides stay. After an error nothing has changed there.
    Raises `OutputError` when the place is full or not writable.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with writing_folder(Path(place) / "out") as staging:
    ...         _ = (staging / "a.txt").write_text("new")
    ...     (Path(place) / "out" / "a.txt").read_text()
    'new'
    """
    temporary = folder / f"{_TEMPORARY}{os.getpid()}"
    existed = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finish_writing(folder)
        _remove_abandoned(folder)
        temporary.mkdir()
        yield temporary
        _sync_tree(temporary)
        os.rename(temporary, folder / _STAGED)
        sync(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not existed:
            with suppress(OSError):
                folder.rmdir()
        number = _error_number(error)
        if number is None:
            raise
        raise output_error(folder, number) from error
    finish_writing(folder)


def finish_writing(folder: Path) -> None:
    """Finish the moves of a writer that was killed among them. Every reader calls this first; it costs one stat.

    Raises `OutputError` where there are moves to finish and the folder is not writable.
    """
    staged = folder / _STAGED
    while staged.is_dir():
        try:
            _move_staged(staged, folder)
        except OSError as error:
            # Another process moves the same files, and may have declared its next save here since: look again.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise output_error(folder, error.errno) from error


def _move_staged(staged: Path, folder: Path) -> None:
    """Move the files of ``staged`` into ``folder``, and remove the folders that are empty then; nothing is deleted."""
    folders = [staged]
    for path in sorted(staged.rglob("*")):
        if path.is_dir():
            (folder / path.relative_to(staged)).mkdir(exist_ok=True)
            folders.append(path)
        else:
            os.replace(path, folder / path.relative_to(staged))
    for place in reversed(folders):
        sync(folder / place.relative_to(staged))
        os.rmdir(place)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process alone, making it if need be; the system lets go when the process dies.

    A folder that was made for it and is empty in the end is removed.
    Raises `OutputError` naming the process that holds it, or why it cannot be made.
    """
    path = folder / _LOCK
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = _lock(path)
        except OSError as error:
            raise output_error(folder, error.errno) from error
        try:
            finish_writing(folder)
            _remove_abandoned(folder)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)
    finally:
        for place in made:
            with suppress(OSError):  # it is not empty
                place.rmdir()


def _lock(path: Path) -> int:
    """An open handle on the locked file at ``path``."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file between our opening and locking it: then it guards nothing.
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                _sign(path, handle)
                return handle
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace") or "unknown"
            os.close(handle)
            raise OutputError(
                f"{path.parent} is in use by process {holder}; wait for it to end, or name another --out"
            ) from None
        except FileNotFoundError:
            pass
        os.close(handle)


def _sign(path: Path, handle: int) -> None:
    """Note in a lock that this process holds it; let go of it where the disk has no room for so much as that."""
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
    except OSError:
        path.unlink(missing_ok=True)
        os.close(handle)
        raise


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed writers left unfinished."""
    for path in folder.iterdir():
        process = path.name.removeprefix(_TEMPORARY)
        if path.name.startswith(_TEMPORARY) and process.isdigit() and not _runs(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    """Whether another process of this number is alive."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync_tree(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        sync(path)


def _error_number(error: BaseException) -> int | None:
    """The system's error number, if the error came from the system.

    A file that could not be written names its place in the staging folder, which nobody asked for: its cause counts.
    The Rust libraries that write weights and tokenizers raise their own classes and give the number in the text alone.
    """
    if isinstance(error, OutputError):
        return error.__cause__.errno if isinstance(error.__cause__, OSError) else None
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None
